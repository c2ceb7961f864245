"""A ClickHouse server of its own for one test: Debian's clickhouse-server in a temporary directory, on free ports."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from harness import wait_until

PROGRAM = shutil.which("clickhouse-server") or "/usr/sbin/clickhouse-server"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def make_certificate(folder, name):
    """A certificate for localhost that signs itself; returns its file."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / f"{name}.key", "-out",
                    folder / f"{name}.pem"], check=True, capture_output=True)
    return folder / f"{name}.pem"


class ClickHouse:
    """Over plain HTTP, and over TLS with the certificate tls.pem in its folder."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-clickhouse-"))
        self.http, self.https, tcp = free_ports(3)
        make_certificate(self.folder, "tls")
        (self.folder / "config.xml").write_text(f"""<yandex>
<logger><level>warning</level><log>{self.folder}/log</log><errorlog>{self.folder}/errors</errorlog></logger>
<listen_host>127.0.0.1</listen_host><http_port>{self.http}</http_port><tcp_port>{tcp}</tcp_port>
<https_port>{self.https}</https_port><openSSL><server><certificateFile>{self.folder}/tls.pem</certificateFile>
<privateKeyFile>{self.folder}/tls.key</privateKeyFile><verificationMode>none</verificationMode></server></openSSL>
<path>{self.folder}/data/</path><tmp_path>{self.folder}/tmp/</tmp_path><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>67108864</mark_cache_size></yandex>""")
        user = "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
        (self.folder / "users.xml").write_text(f"""<yandex><profiles><default></default></profiles><users>
<default><password></password>{user}</default><nexus><password>open sesame</password>{user}</nexus></users>
<quotas><default/></quotas></yandex>""")
        self.process = None
        self.start()

    @property
    def url(self):
        return f"clickhouse://127.0.0.1:{self.http}/nexus"

    def start(self):
        with open(self.folder / "output", "a") as out:
            self.process = subprocess.Popen([PROGRAM, f"--config-file={self.folder}/config.xml"], stdout=out, stderr=out)
        wait_until("ClickHouse answers", self.answers, 60)

    def answers(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/ping", timeout=2).read() == b"Ok.\n"
        except (urllib.error.URLError, OSError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, query):
        """The lines of the answer, each a list of columns."""
        url = f"http://127.0.0.1:{self.http}/?" + urllib.parse.urlencode({"database": "nexus", "wait_end_of_query": 1})
        text = urllib.request.urlopen(url, data=query.encode(), timeout=30).read().decode()
        return [line.split("\t") for line in text.splitlines()]

    def number(self, query):
        return int(self.ask(query)[0][0])
