from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading

import boto3
import pytest
from moto import mock_aws

from retail_analytics.ingest import gen_kinesis_data
from retail_analytics.ingest.gen_kinesis_data import main

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def stream():
    with mock_aws():
        client = boto3.client("kinesis")
        client.create_stream(StreamName="uk-online-retail-trans", ShardCount=1)
        yield client


def arrived(client):
    shard = client.get_shard_iterator(
        StreamName="uk-online-retail-trans",
        ShardId="shardId-000000000000",
        ShardIteratorType="TRIM_HORIZON",
    )
    answer = client.get_records(ShardIterator=shard["ShardIterator"], Limit=10_000)
    return [json.loads(one["Data"]) for one in answer["Records"]]


def good(csv_file, count=20):
    return str(csv_file(*(f"{n},A,B,1,2010-12-01 08:26:00,1.5,17850.0,EIRE" for n in range(count))))


def test_help_shows_the_options(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert ended.value.code == 0
    for option in (
        "-I INPUT_FILE, --input-file INPUT_FILE The input file path ex) ./resources/online_retail_II.csv",
        "--out-format {csv,tsv,json}",
        "--service-name {kinesis,firehose}",
        "--stream-name STREAM_NAME The name of the stream to put the data record into.",
        "--max-count MAX_COUNT The max number of records to put.",
        "--dry-run",
        "--region-name REGION_NAME",
        "--rate RATE",
        "--workers WORKERS",
        "--shift-to-now",
    ):
        assert option in text


def test_a_file_is_sent(stream, csv_file, capsys):
    assert main(["-I", good(csv_file), "--workers", "1"]) == 0
    documents = arrived(stream)
    assert [document["Invoice"] for document in documents] == [str(n) for n in range(20)]
    out = capsys.readouterr().out
    assert out.startswith("20 records (")
    assert out.strip().endswith("; 0 sent again, 0 not sent.")


def test_generated_records_are_sent_up_to_the_count(stream):
    assert main(["--max-count", "700", "--workers", "1"]) == 0
    assert len({document["record_id"] for document in arrived(stream)}) == 700


def test_ids_survive_shift_and_rerun(stream, csv_file):
    path = good(csv_file)
    assert main(["-I", path, "--workers", "1"]) == 0
    assert main(["-I", path, "--workers", "1", "--shift-to-now"]) == 0
    documents = arrived(stream)
    assert [one["record_id"] for one in documents[:20]] == [one["record_id"] for one in documents[20:]]
    assert documents[0]["InvoiceDate"] == "2010-12-01 08:26:00" < "2026" < documents[20]["InvoiceDate"]


def test_bad_rows_are_sent_and_told(stream, csv_file, capsys):
    path = csv_file("1,A,B,six,2010-12-01 08:26:00,1.5,,EIRE", "2,A,B,6,2010-12-01 08:26:00,1.5,,EIRE")
    assert main(["-I", str(path)]) == 0
    assert [document["Quantity"] for document in arrived(stream)] == ["six", 6]
    assert "1 rows travel on as they are" in (err := capsys.readouterr().err)
    assert "line 2: Quantity is no whole number: 'six'" in err


def test_a_record_too_large_is_told_with_its_line_and_fails(stream, csv_file, capsys):
    path = csv_file(
        "1,A,B,6,2010-12-01 08:26:00,1.5,,EIRE",
        f"2,A,{'x' * (1 << 20)},6,2010-12-01 08:26:00,1.5,,EIRE",
        "3,A,B,6,2010-12-01 08:26:00,1.5,,EIRE",
    )
    assert main(["-I", str(path)]) == 1
    assert [document["Invoice"] for document in arrived(stream)] == ["1", "3"]
    assert re.search(r"line 3: its 1,048,\d+ bytes are more than", capsys.readouterr().err)


def test_dry_run_prints_and_sends_nothing(csv_file, capsysbinary):
    assert main(["-I", good(csv_file), "--dry-run", "--max-count", "3", "--out-format", "csv"]) == 0
    captured = capsysbinary.readouterr()
    rows = captured.out.decode().splitlines()
    assert len(rows) == 3
    assert re.fullmatch(r"0,A,B,1,2010-12-01 08:26:00,1.5,17850,EIRE,[0-9a-f]{32}", rows[0])
    assert b"3 records would be sent" in captured.err


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["-I", "nowhere.csv"], 1, "There is no file nowhere.csv"),
        (["--stream-name", "nowhere", "--max-count", "1"], 1, "There is no Kinesis stream nowhere"),
        (["--shift-to-now"], 2, "name one with --input-file"),
        (["--rate", "0"], 2, "'0' is no number above 0"),
        (["--max-count", "-1"], 2, "'-1' is no whole number of at least 0"),
        (["--workers", "many"], 2, "'many' is no whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_one_sentence(stream, arguments, status, sentence, capsys):
    try:
        ended = main(arguments)
    except SystemExit as error:
        ended = error.code
    assert ended == status
    assert sentence in capsys.readouterr().err


def test_ctrl_c_ends_in_order(stream, capsys, monkeypatch):
    # The signal comes from a timer thread once something has been sent, as a person would send it.
    sent_some = threading.Event()

    class Telling(gen_kinesis_data.Progress):
        def __call__(self, done):
            super().__call__(done)
            if done and not sent_some.is_set():
                sent_some.set()
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(gen_kinesis_data, "Progress", Telling)
    before = signal.getsignal(signal.SIGINT)
    assert main(["--workers", "1"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    count = int(re.match(r"([\d,]+) records", capsys.readouterr().out)[1].replace(",", ""))
    assert count == len(arrived(stream)) > 0


def test_the_module_runs_and_a_reader_may_leave(csv_file):
    command = [sys.executable, "-m", "retail_analytics.ingest.gen_kinesis_data"]
    with subprocess.Popen(
        [*command, "-I", good(csv_file, 50_000), "--dry-run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert json.loads(process.stdout.readline())["Invoice"] == "0"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
