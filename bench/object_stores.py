"""Small files, four of 50 MB and one of 1 GB into `rclone serve s3`: ours beside boto3 and rclone.

    .venv/bin/python bench/object_stores.py [small large huge]

Each contender starts as a process of its own, so imports and start-up count; best of three, the
contenders taking turns. The memory is the largest a process has had (RSS).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = {"small": 1000, "large": 4, "huge": 1}
ROUNDS = {"small": 3, "large": 3, "huge": 1}
WORKERS = 16


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.servers.rclone_s3 import RcloneS3, rclone_binary  # noqa: PLC0415 after the path

    asked = sys.argv[1:] or list(FILES)
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        make_files(sources / "small", [1_000 + 49 * n for n in range(FILES["small"])])
        for what, size in (("large", 50_000_000), ("huge", 1_000_000_000)):
            if what in asked:
                make_files(sources / what, [size] * FILES[what])
        buckets = [f"{who}-{what}" for who in (*CONTENDERS, "rclone") for what in FILES]
        with RcloneS3(Path(folder) / "s3", *buckets) as server:
            for what in asked:
                compare(what, sources / what, server, rclone_binary())


def compare(what: str, source: Path, server, rclone: str) -> None:  # noqa: ANN001 imported late
    copy = [rclone, "--config", "", "copy", "--ignore-times", "--transfers"]
    copy += ["16" if what == "small" else "4", str(source), f":s3:rclone-{what}"]
    commands = {who: [sys.executable, __file__, who, str(source)] for who in CONTENDERS}
    commands["rclone"] = copy
    best: dict[str, tuple[float, int]] = {}
    for _ in range(ROUNDS[what]):
        for who, command in commands.items():
            taken = timed(command, environment_of(server, f"{who}-{what}"))
            best[who] = min(best.get(who, taken), taken)
    for who, (seconds, megabytes) in best.items():
        print(f"{what:6} {who:18} {seconds:7.2f} s {megabytes:6} MB")


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds, and the largest memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_maxrss // 1024


def make_files(folder: Path, sizes: list[int]) -> None:
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        with (folder / f"{number:04}.bin").open("wb") as file:
            # In pieces: what this process has had at most, its children are said to have had.
            for start in range(0, size, 1_000_000):
                file.write(os.urandom(min(1_000_000, size - start)))


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


def put_with_ours(store, folder: Path) -> None:  # noqa: ANN001 imported late
    from b2_resources.object_store import Upload, put_files  # noqa: PLC0415

    uploads = [Upload(key=path.name, path=path) for path in sorted(folder.iterdir())]
    put_files(store, uploads, workers=WORKERS)


def ours_s3(folder: Path) -> None:
    put_with_ours(our_bucket(), folder)


def ours_hybrid(folder: Path) -> None:
    from b2_resources.hybrid_store import HybridStore  # noqa: PLC0415
    from b2_resources.local_store import LocalStore  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as root:
        put_with_ours(HybridStore(near=LocalStore(Path(root)), far=our_bucket()), folder)


def our_bucket():  # noqa: ANN201 imported late
    from b2_resources.s3_config import S3Config  # noqa: PLC0415
    from b2_resources.s3_store import S3Store  # noqa: PLC0415

    return S3Store(
        S3Config(
            endpoint=os.environ["BENCH_ENDPOINT"],
            region="us-west-004",
            key_id=os.environ["BENCH_KEY"],
            application_key=os.environ["BENCH_SECRET"],
            bucket=os.environ["BENCH_BUCKET"],
        )
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
    "ours-hybrid": ours_hybrid,
    "boto3-parallel": boto3_parallel,
    "boto3-sequential": boto3_sequential,
}

if __name__ == "__main__":
    if not set(sys.argv[1:]) & set(CONTENDERS):
        main()
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        CONTENDERS[sys.argv[1]](Path(sys.argv[2]))
