"""The platform on AWS, as CDK stacks made from the feeds and the settings."""
