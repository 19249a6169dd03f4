"""The way in for people: a load balancer that lets nobody pass who has not signed in.

It wants a name and its certificate. Users are Cognito's: made by an administrator, with a second factor.
Without a name there is no load balancer, and people go through Session Manager (``docs/deploy.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aws_cdk import (
    Aws,
    CfnOutput,
    Duration,
    aws_certificatemanager,
    aws_cognito,
)
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_elasticloadbalancingv2_actions as elb_actions

from infra.prefixes import ENTRANCE_LOGS

if TYPE_CHECKING:
    from aws_cdk import Stack, aws_ecs

    from infra.environments import Environment
    from infra.stacks.ingest import IngestStack
    from infra.stacks.network import NetworkStack

_STAY = Duration.hours(12)


def make_entrance(
    stack: Stack,
    environment: Environment,
    network: NetworkStack,
    ingest: IngestStack,
    service: aws_ecs.FargateService,
    port: int,
) -> elb.ApplicationLoadBalancer:
    """Make the load balancer before the web server, in that stack."""
    hostname, certificate_arn = environment.hostname, environment.certificate_arn
    if hostname is None or certificate_arn is None:
        raise ValueError("a load balancer needs hostname and certificateArn; see docs/deploy.md.")
    balancer = _balancer(stack, environment, network, ingest)
    group = elb.ApplicationTargetGroup(
        stack,
        "Web",
        vpc=network.vpc,
        port=port,
        protocol=elb.ApplicationProtocol.HTTP,
        targets=[service],
        health_check=elb.HealthCheck(path="/server_info", interval=Duration.seconds(30)),
        deregistration_delay=Duration.seconds(15),
    )
    # A web server that imports Dagster on half a core is not there at once.
    cast("aws_ecs.CfnService", service.node.find_child("Service")).health_check_grace_period_seconds = 180
    pool, client, domain = _users(stack, environment, hostname)
    balancer.add_listener(
        "Https",
        port=443,
        protocol=elb.ApplicationProtocol.HTTPS,
        ssl_policy=elb.SslPolicy.TLS13_RES,
        certificates=[
            elb.ListenerCertificate.from_certificate_manager(
                aws_certificatemanager.Certificate.from_certificate_arn(stack, "Certificate", certificate_arn)
            )
        ],
        default_action=elb_actions.AuthenticateCognitoAction(
            user_pool=pool,
            user_pool_client=client,
            user_pool_domain=domain,
            session_timeout=_STAY,
            next=elb.ListenerAction.forward([group]),
        ),
    )
    balancer.add_redirect()  # http to https
    CfnOutput(
        stack, "Address", value=balancer.load_balancer_dns_name, description=f"Where {hostname} has to point"
    )
    CfnOutput(stack, "UserPool", value=pool.user_pool_id, description="Where users are made")
    return balancer


def _balancer(
    stack: Stack, environment: Environment, network: NetworkStack, ingest: IngestStack
) -> elb.ApplicationLoadBalancer:
    balancer = elb.ApplicationLoadBalancer(
        stack,
        "Entrance",
        vpc=network.vpc,
        internet_facing=True,
        security_group=network.entrance,
        drop_invalid_header_fields=True,
        deletion_protection=environment.keeps_data,
    )
    # By attributes: CDK's own method wants to know the region, to look up an account of AWS's that regions
    # since 2022 have no more. The bucket lets the service in.
    balancer.set_attribute("access_logs.s3.enabled", "true")
    balancer.set_attribute("access_logs.s3.bucket", ingest.logs.bucket_name)
    balancer.set_attribute("access_logs.s3.prefix", ENTRANCE_LOGS)
    return balancer


def _users(
    stack: Stack, environment: Environment, hostname: str
) -> tuple[aws_cognito.UserPool, aws_cognito.UserPoolClient, aws_cognito.UserPoolDomain]:
    pool = aws_cognito.UserPool(
        stack,
        "Users",
        self_sign_up_enabled=False,
        sign_in_aliases=aws_cognito.SignInAliases(email=True),
        mfa=aws_cognito.Mfa.REQUIRED,
        mfa_second_factor=aws_cognito.MfaSecondFactor(otp=True, sms=False),
        account_recovery=aws_cognito.AccountRecovery.EMAIL_ONLY,
        password_policy=aws_cognito.PasswordPolicy(
            min_length=14,
            require_digits=True,
            require_lowercase=True,
            require_symbols=True,
            require_uppercase=True,
        ),
        removal_policy=environment.data_removal,
    )
    client = pool.add_client(
        "LoadBalancer",
        generate_secret=True,  # kept by Cognito and the load balancer; it stands in no template
        o_auth=aws_cognito.OAuthSettings(
            flows=aws_cognito.OAuthFlows(authorization_code_grant=True),
            scopes=[aws_cognito.OAuthScope.OPENID],
            callback_urls=[f"https://{hostname}/oauth2/idpresponse"],
        ),
        prevent_user_existence_errors=True,
    )
    domain = pool.add_domain(
        "SignIn",
        cognito_domain=aws_cognito.CognitoDomainOptions(
            domain_prefix=f"{environment.settings.deployment}-{Aws.ACCOUNT_ID}"
        ),
    )
    return pool, client, domain
