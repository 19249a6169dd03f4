"""An emulator of AWS that deploys CloudFormation, in its own virtual environment, and stacks deployed to it.

It is started from the interpreter that ``MINISTACK_PYTHON`` names (it pins another botocore), on loopback,
with a limit of memory. Not here: what is deployed, and what is then looked at.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "000000000000"
REGION = "eu-west-1"
_MEMORY = 3 * 1024**3
_ASSETS = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"

REFUSED = frozenset(
    {"AWS::EC2::EIP", "AWS::EC2::FlowLog", "AWS::EC2::NatGateway", "AWS::EC2::SecurityGroupIngress"}
)
"""Types that it does not know; they are left out, with whatever refers to them."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    url: str

    def client(self, service: str) -> Any:
        """A boto3 client of it."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="unused",
        )

    def upload_assets(self, folder: Path) -> None:
        """Put the stacks' files where a bootstrapped account has them."""
        s3 = self.client("s3")
        s3.create_bucket(Bucket=_ASSETS, CreateBucketConfiguration={"LocationConstraint": REGION})
        for manifest in folder.glob("*.assets.json"):
            for asset in json.loads(manifest.read_text())["files"].values():
                for target in asset["destinations"].values():
                    body = (folder / asset["source"]["path"]).read_bytes()
                    s3.put_object(Bucket=_ASSETS, Key=target["objectKey"], Body=body)

    def deploy(self, name: str, template: dict[str, Any]) -> bool:
        """Create a stack, or update it; returns whether CloudFormation found anything to do."""
        cloudformation = self.client("cloudformation")
        there = any(
            stack["StackName"] == name for stack in cloudformation.describe_stacks().get("Stacks", [])
        )
        kind = "UPDATE" if there else "CREATE"
        change = cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=f"change-{time.monotonic_ns()}",
            ChangeSetType=kind,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )["Id"]
        found = cloudformation.describe_change_set(ChangeSetName=change, StackName=name)
        deadline = time.monotonic() + 60
        while found["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"} and time.monotonic() < deadline:
            time.sleep(0.2)
            found = cloudformation.describe_change_set(ChangeSetName=change, StackName=name)
        if found["Status"] == "FAILED" or not found.get("Changes"):
            return False
        cloudformation.execute_change_set(ChangeSetName=change, StackName=name)
        waiter = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
        waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        return True


@contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """An emulator, ended with the ``with`` block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "emulator.log").open("wb")
    process = subprocess.Popen(
        [os.environ["MINISTACK_PYTHON"], "-m", "ministack"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",  # or it listens on every address besides
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
        },
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),  # noqa: PLW1509
    )
    try:
        _wait(f"http://127.0.0.1:{port}/_ministack/health", process, folder / "emulator.log")
        yield Emulator(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the emulator did not come up: {log.read_text()[-2000:]}")


def pruned(template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The template without types that are refused, and what else went with them.

    Returns:
        The template, and the type of each resource that went, by its name.
    """
    resources: dict[str, Any] = dict(template["Resources"])
    outputs: dict[str, Any] = dict(template.get("Outputs", {}))
    gone = {name: each["Type"] for name, each in resources.items() if each["Type"] in REFUSED}
    growing = True
    while growing:
        growing = False
        for name, each in list(resources.items()):
            if name in gone or _refers(each.get("Properties", {}), gone):
                gone[name] = each["Type"]
                del resources[name]
                growing = True
    for each in resources.values():
        needs = each.get("DependsOn", [])
        needs = [needs] if isinstance(needs, str) else needs
        each["DependsOn"] = [need for need in needs if need not in gone]
    outputs = {name: each for name, each in outputs.items() if not _refers(each, gone)}
    return {**template, "Resources": resources, "Outputs": outputs}, gone


def _refers(node: Any, gone: dict[str, str]) -> bool:
    if isinstance(node, dict):
        attribute = node.get("Fn::GetAtt")
        if node.get("Ref") in gone or (isinstance(attribute, list) and attribute[0] in gone):
            return True
        return any(_refers(value, gone) for value in node.values())
    if isinstance(node, list):
        return any(_refers(value, gone) for value in node)
    return False
