"""Who may call: tokens, TLS and the page's sign-in against a real server. Names (A1, K3, W10, ...) are those of the
security catalogue in docs/testing.md."""
import http.client
import json
import os
import pathlib
import socket
import ssl
import stat
import subprocess
import sys
import time

from harness import NEXUS, House, wait_until

UNSAFE = {"POST", "PUT", "DELETE"}
# What is open to everyone, on purpose; whatever else is served has a role.
OPEN = {"http/" + name for name in ("openapi", "scheduler_health", "sign_in", "livez", "readyz", "healthz", "page", "index.html", "asset",
                                    "icon", "favicon")}
KEY = "a-key-of-the-old-nexus"


def ask(house, method, path, token=None, body=None, headers=None, tls=None):
    """One request; returns status, headers and text."""
    host, port = house.http.split(":")
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    link = kind(host, int(port), timeout=20, **({"context": tls} if tls else {}))
    sent = dict(headers or {})
    if token:
        sent["Authorization"] = "Bearer " + token
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    link.request(method, path, body=json.dumps(body) if body is not None else None, headers=sent)
    reply = link.getresponse()
    endless = reply.getheader("Content-Type") == "text/event-stream"
    text = "" if endless else reply.read().decode()
    link.close()
    return reply.status, reply, text


def run(*args, env=None, check=True):
    done = subprocess.run([NEXUS, *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"nexus {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def make_certificates(folder):
    """An authority, a server's pair for 127.0.0.1 and clients' pairs, by the openssl command."""
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=folder)

    def pair(name, issuer=None, san=None, days=1):
        extra = ["-addext", "subjectAltName=" + san] if san else []
        sign = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"] if issuer else []
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days, "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.crt", *extra, *sign)
        os.chmod(folder / f"{name}.key", 0o600)
    pair("ca")
    pair("other-ca")
    pair("server", san="IP:127.0.0.1,DNS:localhost")
    pair("next", san="IP:127.0.0.1,DNS:localhost")
    for name, issuer in (("worker-1", "ca"), ("worker-10", "ca"), ("imposter", "other-ca")):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                "/CN=worker-1" if name == "imposter" else f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-CAcreateserial", "-days", 1,
                "-out", f"{name}.crt")
        os.chmod(folder / f"{name}.key", 0o600)


def refused_starts(house):
    """K2, K5: what does not start, and says what to do."""
    def fails(says, *flags):
        done = run("serve", "--data", house.folder / "no-data", *flags, check=False)
        assert done.returncode != 0, flags
        assert says in done.stderr, (flags, done.stderr)
    fails("--auth tokens", "--listen", "0.0.0.0:0", "--http", "off")
    fails("--tls-cert", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0", "--auth", "tokens")
    tls = ["--tls-cert", house.folder / "server.crt", "--tls-key", house.folder / "server.key"]
    fails("--auth tokens", "--listen", "0.0.0.0:0", "--http", "off", *tls)
    os.chmod(house.folder / "server.key", 0o644)
    fails("others can read this key", "--listen", "127.0.0.1:0", "--http", "off", *tls)
    os.chmod(house.folder / "server.key", 0o600)
    fails("that fits", "--listen", "127.0.0.1:0", "--http", "off", "--tls-cert", house.folder / "server.crt", "--tls-key",
          house.folder / "ca.key")
    fails("worker", "--listen", "127.0.0.1:0", "--http", "off", *tls, "--tls-client-ca", house.folder / "ca.crt", "--set",
          "server.tls_subjects=a=werker")


def files_are_private(house):
    """K3: an open directory is closed, and nothing in it is readable by others."""
    data = house.folder / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700, oct(data.stat().st_mode)
    for path in data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, (path, oct(path.stat().st_mode))
    assert "data_closed" in (house.folder / "server.log").read_text()


def routes():
    """The table of methods as the reference has it: verb, path, role."""
    import re
    table = (pathlib.Path(__file__).resolve().parents[2] / "src/api/methods.cc").read_text()
    table = table[table.index("constexpr Method kMethods[]"):]
    verbs = {"get": "GET", "post": "POST", "put": "PUT", "remove": "DELETE"}
    found = []
    for row in re.split(r"\.name = ", table)[1:]:
        name = re.match(r'"([^"]+)"', row)[1]
        rest = re.search(r'\.rest = \{Verb::(\w+), "([^"]+)"', row)
        role = re.search(r"\.role = Role::(\w+)", row)
        if rest:
            found.append((name, verbs[rest[1]], rest[2], role[1] if role else None, ".fleet = false" not in row))
    return found


def every_route(house, tokens, bound):
    """A1, A2 and B over HTTP: each route without a credential, with each role, and bound to a tenant; a body that nobody reads."""
    implied = {"submitter": {"submitter", "viewer", "payload"}, "operator_role": {"operator_role", "viewer"}, "admin": {"admin", "viewer"}}
    count = 0
    assert {name for name, _, _, role, _ in routes() if role is None} == OPEN
    for name, verb, path, role, fleet in routes():
        path = path.replace("{id}", "0199f8c0-7d2e-7000-8000-00000000002a").replace("{", "").replace("}", "")
        body = {"nonsense": 1} if verb in UNSAFE else None
        if role is None:
            if verb == "GET":
                assert ask(house, verb, path)[0] in (200, 404, 503), path  # 404: no asset of this name
            continue
        status, reply, text = ask(house, verb, path, body=body)
        if name.startswith("http/scheduler_"):  # a key, and nothing else
            assert status == 401, (verb, path, status)
            assert ask(house, verb, path, token=tokens["admin"], body=body)[0] == 401, path
            assert ask(house, verb, path, body=body, headers={"X-Scheduler-Key": "wrong"})[0] == 403, path
            assert ask(house, verb, path, body=body, headers={"X-Scheduler-Key": KEY})[0] not in (401, 403), path
            continue
        assert status == 401 and reply.getheader("WWW-Authenticate"), (verb, path, status, text)
        for had, token in tokens.items():
            may = role == "any" or role in implied.get(had, {had})
            if name.endswith("/ReadOutput"):
                may = had == "submitter"  # B7: who sees the task does not read what its program wrote
            status = ask(house, verb, path, token=token, body=body)[0]
            assert (status == 403) == (not may), (verb, path, had, status)
            assert status != 401, (verb, path, had)
            count += 1
        status = ask(house, verb, path, token=bound, body=body)[0]  # a submitter of one tenant
        may = role == "any" or role in implied["submitter"]
        assert (status == 403) == (fleet or not may), (verb, path, status)
    assert count > 100
    # A8: a token in a URL, and one that is no token.
    assert ask(house, "GET", "/v1/status?access_token=" + tokens["viewer"])[0] == 400
    assert ask(house, "GET", "/v1/status?limit=" + tokens["viewer"])[0] == 400
    assert ask(house, "GET", "/v1/status", headers={"Authorization": "Basic dTpw"})[0] == 401
    assert tokens["viewer"] not in (house.folder / "server.log").read_text()
    # Before the body is read: a refused request is answered though its body never comes.
    host, port = house.http.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
        assert b" 401 " in raw.recv(1000)


def page_sign_in(house, token):
    """W2, W3, W10: the cookie, its flags, and what a change by it needs."""
    status, reply, text = ask(house, "POST", "/v1/session", body={"token": token})
    assert status == 200, text
    cookies = reply.msg.get_all("Set-Cookie")
    session = next(c for c in cookies if c.startswith("nexus_session="))
    for flag in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert flag in session, session
    cookie = {"Cookie": session.split(";")[0]}
    csrf = json.loads(text)["csrf"]
    assert ask(house, "GET", "/v1/status", headers=cookie)[0] == 200
    pause = {"paused": True, "reason": "test"}
    assert ask(house, "PUT", "/v1/queues/q", body=pause, headers=cookie)[0] == 403
    assert ask(house, "PUT", "/v1/queues/q", body=pause, headers={**cookie, "X-Nexus-CSRF": "0" * 32})[0] == 403
    assert ask(house, "PUT", "/v1/queues/q", body=pause, headers={**cookie, "X-Nexus-CSRF": csrf, "Origin": "http://evil.example"})[0] == 403
    assert ask(house, "PUT", "/v1/queues/q", body=pause, headers={**cookie, "X-Nexus-CSRF": csrf, "Content-Type": "text/plain"})[0] == 415
    assert ask(house, "PUT", "/v1/queues/q", body=pause, headers={**cookie, "X-Nexus-CSRF": csrf})[0] == 200
    assert ask(house, "POST", "/v1/session", body={"token": "nxt_wrong"})[0] in (401, 429)
    assert ask(house, "DELETE", "/v1/session", headers=cookie)[0] == 403
    assert ask(house, "DELETE", "/v1/session", headers={**cookie, "X-Nexus-CSRF": csrf})[0] == 204
    assert ask(house, "GET", "/v1/status", headers=cookie)[0] == 401


def streams_end(house, admin, token, token_id):
    """A7: event streams end with their token, whether they have something to say or not."""
    host, port = house.http.split(":")
    replies = []
    for path in ("/v1/live", "/v1/live?topics=status,fleet", "/v1/tasks/watch?type=never"):
        link = http.client.HTTPConnection(host, int(port), timeout=20)
        link.request("GET", path, headers={"Authorization": "Bearer " + token})
        replies.append(link.getresponse())
        assert replies[-1].status == 200
        assert replies[-1].readline()
    began = time.monotonic()
    run("token", "revoke", token_id, "--server", house.grpc, "--token-file", admin)
    for reply in replies:
        rest = reply.read().decode()
        assert "event: error" in rest and "UNAUTHENTICATED" in rest, rest[-500:]
        assert time.monotonic() - began < 5 + 1
    assert ask(house, "GET", "/v1/status", token=token)[0] == 401


def with_tokens():
    with House() as house:
        make_certificates(house.folder)
        refused_starts(house)
        (house.folder / "data").mkdir(mode=0o755)
        (house.folder / "keys").write_text(KEY + "\n")
        os.chmod(house.folder / "keys", 0o600)
        house.start_server("--auth", "tokens", "--scheduler-keys-file", house.folder / "keys")
        files_are_private(house)
        admin = house.folder / "data/admin.token"
        assert run("status", "--server", house.grpc, check=False).returncode == 4
        assert "roles" in run("whoami", "--server", house.grpc, "--token-file", admin).stdout
        names = {"viewer": "viewer", "payload": "payload:read", "submitter": "submitter", "worker": "worker", "operator_role": "operator",
                 "admin": "admin"}
        tokens = {role: run("token", "create", "t-" + role, "--role", word, "--server", house.grpc, "--token-file", admin).stdout.strip()
                  for role, word in names.items()}
        bound = run("token", "create", "t-bound", "--role", "submitter", "--tenant", "acme", "--server", house.grpc, "--token-file",
                    admin).stdout.strip()
        every_route(house, tokens, bound)
        page_sign_in(house, tokens["operator_role"])
        listed = json.loads(run("token", "list", "--server", house.grpc, "--token-file", admin, "-o", "json").stdout)["tokens"]
        assert len(listed) == 8
        viewer = next(t for t in listed if t["name"] == "t-viewer")
        streams_end(house, admin, tokens["viewer"], viewer["id"])
        profiles(house, admin)
        # U1: the audit names who, and never a secret.
        audit = run("audit", "list", "--server", house.grpc, "--token-file", admin, "-o", "json").stdout
        for said in ("issue token", "revoke token", "sign in with token"):
            assert said in audit, audit
        assert "nxt_" not in audit
        # Tokens outlive a kill; no second administrator is made.
        before = admin.read_text()
        house.kill_server()
        house.start_server("--auth", "tokens")
        assert admin.read_text() == before
        assert run("whoami", "--server", house.grpc, env={"NEXUS_TOKEN": tokens["submitter"]}).returncode == 0
        assert "nxt_" not in (house.folder / "server.log").read_text()


def profiles(house, admin):
    home = {"XDG_CONFIG_HOME": str(house.folder / "config"), "NEXUS_SERVER": "", "NEXUS_TOKEN": ""}
    run("profile", "add", "here", "--server", house.grpc, "--token-file", admin, env=home)
    run("profile", "add", "there", "--server", "127.0.0.1:1", env=home)
    assert stat.S_IMODE((house.folder / "config/nexus/profiles.toml").stat().st_mode) == 0o600
    assert run("whoami", env=home).returncode == 0
    # A profile's token is not sent to another server, and a flag wins over it.
    assert run("whoami", "--server", house.grpc.replace("127.0.0.1", "localhost"), env=home, check=False).returncode == 4
    run("profile", "use", "there", env=home)
    assert run("whoami", "--timeout", "2s", env=home, check=False).returncode == 5
    assert run("whoami", env={**home, "NEXUS_PROFILE": "here"}).returncode == 0
    assert run("whoami", "--profile", "here", env=home).returncode == 0
    assert run("whoami", "--profile", "nowhere", env=home, check=False).returncode == 3
    run("profile", "remove", "there", env=home)
    assert "here" in run("profile", "list", env=home).stdout


def with_tls():
    """K6, K7, A3: TLS on both listeners, certificates of clients, and a pair that is renewed without a restart."""
    with House() as house:
        make_certificates(house.folder)
        for part in ("crt", "key"):
            (house.folder / f"live.{part}").write_text((house.folder / f"server.{part}").read_text())
            os.chmod(house.folder / f"live.{part}", 0o600)
        house.start_server("--auth", "tokens", "--tls-cert", house.folder / "live.crt", "--tls-key", house.folder / "live.key",
                           "--tls-client-ca", house.folder / "ca.crt", "--set", "server.tls_subjects=worker-1=worker")
        admin = house.folder / "data/admin.token"
        token = admin.read_text().strip()
        trusted = ssl.create_default_context(cafile=house.folder / "server.crt")
        assert ask(house, "GET", "/v1/status", token=token, tls=trusted)[0] == 200
        status, reply, _ = ask(house, "POST", "/v1/session", body={"token": token}, tls=trusted)
        assert status == 200 and "Secure" in reply.getheader("Set-Cookie")
        common = ["--server", house.grpc, "--tls-ca", house.folder / "server.crt"]
        assert run("whoami", *common, "--token-file", admin).returncode == 0
        assert run("whoami", "--server", house.grpc, "--token-file", admin, "--timeout", "3s", check=False).returncode == 5  # plain text

        def shows(name):
            return run("whoami", *common, "--tls-cert", house.folder / f"{name}.crt", "--tls-key", house.folder / f"{name}.key", "--timeout",
                       "5s", check=False)
        assert "by certificate" in shows("worker-1").stdout
        assert shows("worker-10").returncode == 4
        assert shows("imposter").returncode != 0
        mutual = ssl.create_default_context(cafile=house.folder / "server.crt")
        mutual.load_cert_chain(house.folder / "worker-1.crt", house.folder / "worker-1.key")
        status, _, text = ask(house, "GET", "/v1/whoami", tls=mutual)
        assert status == 200 and json.loads(text)["name"] == "worker-1", text

        old = ssl.create_default_context(cafile=house.folder / "server.crt")
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        for port in (house.grpc, house.http):
            host, number = port.split(":")
            try:
                with socket.create_connection((host, int(number)), timeout=10) as raw, old.wrap_socket(raw, server_hostname="localhost"):
                    raise AssertionError("TLS 1.1 was taken")
            except (ssl.SSLError, ConnectionError, OSError):
                pass

        for part in ("key", "crt"):
            fresh = house.folder / f"fresh.{part}"
            fresh.write_text((house.folder / f"next.{part}").read_text())
            os.chmod(fresh, 0o600)
            fresh.rename(house.folder / f"live.{part}")
        renewed = ssl.create_default_context(cafile=house.folder / "next.crt")

        def taken():
            try:
                return ask(house, "GET", "/v1/status", token=token, tls=renewed)[0] == 200
            except ssl.SSLError:
                return False
        wait_until("the renewed certificate is served over HTTP", taken, 10)
        wait_until("and over gRPC", lambda: run("whoami", "--server", house.grpc, "--tls-ca", house.folder / "next.crt", "--token-file", admin,
                                                "--timeout", "3s", check=False).returncode == 0, 15)


def by_order():
    """K5: --insecure starts, and is loud."""
    with House() as house:
        house.grpc = "0.0.0.0:0"
        house.start_server("--insecure")
        assert "INSECURE" in (house.folder / "server.log").read_text()
        house.http = house.http.replace("0.0.0.0", "127.0.0.1")
        assert "[!] insecure" in ask(house, "GET", "/readyz?verbose")[2]
        assert "nexus_insecure 1" in ask(house, "GET", "/metrics")[2]


def main():
    with_tokens()
    with_tls()
    by_order()
    print("ok")


if __name__ == "__main__":
    sys.exit(main())
