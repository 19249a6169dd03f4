"""The same AWS endpoints on a laptop: one child process on loopback that tells the truth or refuses.

``cloud.py`` starts, finds and ends one, ``commands.py`` does so from a shell, ``pytest_plugin.py`` from a
test, ``provision.py`` fills it as ``infra`` would. All but the last two work without the rest of the package;
who uses a cloud speaks to it through boto3 and OpenSearch's API alone.
"""
