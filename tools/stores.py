#!/usr/bin/env python3
"""stores.py DATA -- COMMAND...: runs COMMAND beside a Redis and a ClickHouse of its own, which keep their files below DATA.

COMMAND finds them in the environment (REDIS_URL, NEXUS_SERVER_HISTORY). Afterwards it is told what each holds, and both are
stopped; run it again, and it goes on with what is there. Both listen on loopback alone."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

LIMIT_S = 60


def die(text):
    sys.exit(f"stores: {text}")


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    return found or die(f"{name} is not installed; run `TOOLS=stores tools/setup.sh`")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def await_answer(name, process, answers, log):
    end = time.monotonic() + LIMIT_S
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            die(f"{name} does not answer; its log is {log}")
        time.sleep(0.05)


def redis_says(port, *words):
    """The first line of Redis' answer; empty while it does not answer."""
    text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(text.encode())
            return link.recv(65536).decode(errors="replace")
    except OSError:
        return ""


def start_redis(folder):
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "log"
    process = subprocess.Popen(
        [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--appendfsync",
         "always", "--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(log)], stdout=subprocess.DEVNULL, start_new_session=True)
    await_answer("Redis", process, lambda: redis_says(port, "PING").startswith("+PONG"), log)
    return process, port


def clickhouse_says(port, query=""):
    try:
        where = f"http://127.0.0.1:{port}/" + ("" if query else "ping")
        return urllib.request.urlopen(where, data=query.encode() or None, timeout=5).read().decode().strip()
    except OSError:
        return ""


def start_clickhouse(folder):
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "log"
    (folder / "config.xml").write_text(f"""<yandex>
<logger><level>warning</level><log>{log}</log><errorlog>{folder}/errors</errorlog></logger>
<listen_host>127.0.0.1</listen_host><http_port>{port}</http_port><tcp_port>{free_port()}</tcp_port>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>67108864</mark_cache_size></yandex>""")
    (folder / "users.xml").write_text("""<yandex><profiles><default></default></profiles><users><default><password></password>
<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default/></quotas></yandex>""")
    with open(folder / "output", "a") as out:
        process = subprocess.Popen([program("clickhouse-server"), f"--config-file={folder}/config.xml"], stdout=out, stderr=out,
                                   start_new_session=True)
    await_answer("ClickHouse", process, lambda: clickhouse_says(port) == "Ok.", log)
    return process, port


def main():
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        die("usage: stores.py DATA -- COMMAND...")
    data = pathlib.Path(sys.argv[1]).resolve()
    servers = []
    try:
        redis, redis_port = start_redis(data / "redis")
        servers.append(redis)
        clickhouse, clickhouse_port = start_clickhouse(data / "clickhouse")
        servers.append(clickhouse)
        store, history = f"redis://127.0.0.1:{redis_port}", f"clickhouse://127.0.0.1:{clickhouse_port}/nexus"
        print(f"journal in {store}, history in {history}", flush=True)
        # An interrupt is the command's: it ends in good order, then the stores.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        command = subprocess.Popen(sys.argv[3:], env={**os.environ, "REDIS_URL": store, "NEXUS_SERVER_HISTORY": history},
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        code = command.wait()
        memory = [line for line in redis_says(redis_port, "INFO", "memory").splitlines() if line.startswith("used_memory_human:")]
        rows = {table: clickhouse_says(clickhouse_port, f"SELECT count() FROM nexus.{table}") for table in ("tasks", "attempts")}
        print(f"journal  {store}: {memory[0].split(':')[1] if memory else 'no answer'} in use, kept in {data}/redis\n"
              f"history  {history}: {rows['tasks'] or '?'} tasks, {rows['attempts'] or '?'} attempts, kept in {data}/clickhouse", flush=True)
        return code if code >= 0 else 128 - code
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


if __name__ == "__main__":
    sys.exit(main())
