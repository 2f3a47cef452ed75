"""513 small files and four of 50 MB into `rclone serve s3`: our stores beside boto3 and rclone.

    .venv/bin/python bench/object_stores.py

Each contender starts as a process of its own, so imports and start-up count; best of three.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL, LARGE = 513, 4
WORKERS = 16


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.servers.rclone_s3 import RcloneS3, rclone_binary  # noqa: PLC0415 after the path

    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        make_files(sources / "small", [1_000 + 97 * n for n in range(SMALL)])
        make_files(sources / "large", [50_000_000] * LARGE)
        buckets = [f"{who}-{what}" for who in CONTENDERS for what in ("small", "large")]
        with RcloneS3(Path(folder) / "s3", *buckets, "rclone-small", "rclone-large") as server:
            for what in ("small", "large"):
                for who in CONTENDERS:
                    arguments = [sys.executable, __file__, who, str(sources / what)]
                    report(f"{what} {who}", arguments, environment_of(server, f"{who}-{what}"))
                copy = [rclone_binary(), "--config", "", "copy", "--transfers"]
                copy += ["4" if what == "large" else str(WORKERS), "--ignore-times"]
                copy += [str(sources / what), f":s3:rclone-{what}"]
                report(f"{what} rclone", copy, environment_of(server, ""))


def make_files(folder: Path, sizes: list[int]) -> None:
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        (folder / f"{number:04}.bin").write_bytes(os.urandom(size))


def environment_of(server, bucket: str) -> dict[str, str]:  # noqa: ANN001 imported late
    return {
        **os.environ,
        "BENCH_ENDPOINT": server.endpoint,
        "BENCH_KEY": server.key_id,
        "BENCH_SECRET": server.application_key,
        "BENCH_BUCKET": bucket,
        "RCLONE_S3_PROVIDER": "Rclone",
        "RCLONE_S3_ENDPOINT": server.endpoint,
        "RCLONE_S3_ACCESS_KEY_ID": server.key_id,
        "RCLONE_S3_SECRET_ACCESS_KEY": server.application_key,
        "RCLONE_S3_REGION": "us-west-004",
    }


def report(name: str, command: list[str], environment: dict[str, str]) -> None:
    best = 9e9
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        best = min(best, time.perf_counter() - began)
    print(f"{name:28} {best:6.2f} s")


def put_with_ours(store, folder: Path) -> None:  # noqa: ANN001 imported late
    from b2_resources.object_store import Upload, put_files  # noqa: PLC0415

    uploads = [Upload(key=path.name, path=path) for path in sorted(folder.iterdir())]
    put_files(store, uploads, workers=WORKERS)


def ours_s3(folder: Path) -> None:
    from b2_resources.s3_config import S3Config  # noqa: PLC0415
    from b2_resources.s3_store import S3Store  # noqa: PLC0415

    put_with_ours(
        S3Store(
            S3Config(
                endpoint=os.environ["BENCH_ENDPOINT"],
                region="us-west-004",
                key_id=os.environ["BENCH_KEY"],
                application_key=os.environ["BENCH_SECRET"],
                bucket=os.environ["BENCH_BUCKET"],
            )
        ),
        folder,
    )


def ours_local(folder: Path) -> None:
    from b2_resources.local_store import LocalStore  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as root:
        put_with_ours(LocalStore(Path(root)), folder)


def boto3_sequential(folder: Path) -> None:
    client = boto3_client()
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), os.environ["BENCH_BUCKET"], path.name)


def boto3_parallel(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    client = boto3_client()
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [
            pool.submit(client.upload_file, str(path), os.environ["BENCH_BUCKET"], path.name)
            for path in sorted(folder.iterdir())
        ]:
            done.result()


def boto3_client():  # noqa: ANN201 imported late
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        "s3",
        endpoint_url=os.environ["BENCH_ENDPOINT"],
        aws_access_key_id=os.environ["BENCH_KEY"],
        aws_secret_access_key=os.environ["BENCH_SECRET"],
        region_name="us-west-004",
        config=Config(
            signature_version="s3v4",
            max_pool_connections=WORKERS * 2,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


CONTENDERS = {
    "ours-s3": ours_s3,
    "ours-local": ours_local,
    "boto3-parallel": boto3_parallel,
    "boto3-sequential": boto3_sequential,
}

if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        CONTENDERS[sys.argv[1]](Path(sys.argv[2]))
        if "BENCH_RSS" in os.environ:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")
