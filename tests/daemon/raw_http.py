#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad requests over a bare socket: each gets the right status, and no byte behind a doubtful request runs as a second
one. MUTANTS: how many requests
are changed at random (3000)."""
import base64, os, random, re, shutil, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

H = b"Host: 127.0.0.1\r\n"
SECOND = b"GET /api/v1/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
SLOW_S = 5  # what a request may take where its client is slow
failed = passed = 0


def check(what, ok, got):
    global failed, passed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {what}: got {got!r}")


class Server:
    def __init__(self, exe, *args):
        """args: host, file of the token, seconds that a request may take."""
        self.p = subprocess.Popen([exe, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        url = self.p.stdout.readline().decode().strip()
        self.port = int(url.rsplit(":", 1)[1])

    def send(self, data, timeout=60.0, source=None, half_close=True):
        s = socket.socket()
        s.settimeout(timeout)
        # Closed by a reset, so that what is left of one case does not count against the next one's limits.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if source:
            s.bind((source, 0))
        s.connect(("127.0.0.1", self.port))
        out = b""
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            while True:
                b = s.recv(65536)
                if not b:
                    break
                out += b
        except OSError:  # timeouts and resets
            pass
        s.close()
        return out

    def metric(self, pattern):
        text = self.send(b"GET /metrics HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n").decode()
        return sum(float(v) for v in re.findall("(?m)^" + pattern + r" (\S+)$", text))

    def stop(self):
        self.p.stdin.close()
        return self.p.wait(120)


def statuses(answer):
    return [int(x) for x in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def get(path, extra=b"", version=b"HTTP/1.1", host=H, method=b"GET"):
    return method + b" " + path + b" " + version + b"\r\n" + host + extra + b"\r\n"


P = b"/healthz"
# name, bytes, statuses allowed for the first answer (None: closed without one; a server that closes with bytes unread
# resets the connection, and the answer may be lost with it), may a second request behind it run
CASES = [
    ("plain", get(P), {200}, True),
    ("HEAD", get(P, method=b"HEAD"), {200}, True),
    ("HTTP/1.0 without Host", get(P, version=b"HTTP/1.0", host=b""), {200}, False),
    ("CL and TE", get(P, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("TE and CL", get(P, b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n") + b"0\r\n\r\n", {400}, False),
    ("two CL", get(P, b"Content-Length: 0\r\nContent-Length: 7\r\n"), {400}, False),
    ("two equal CL", get(P, b"Content-Length: 0\r\nContent-Length: 0\r\n"), {400}, False),
    ("CL list", get(P, b"Content-Length: 0, 0\r\n"), {400}, False),
    ("CL -1", get(P, b"Content-Length: -1\r\n"), {400}, False),
    ("CL +5", get(P, b"Content-Length: +5\r\n"), {400}, False),
    ("CL hex", get(P, b"Content-Length: 0x5\r\n"), {400}, False),
    ("CL 2^64", get(P, b"Content-Length: 18446744073709551616\r\n"), {400, 413}, False),
    ("CL huge", get(P, b"Content-Length: 99999999999999999999999\r\n"), {400, 413}, False),
    ("CL with space", get(P, b"Content-Length: 1 0\r\n"), {400}, False),
    ("body on GET", get(P, b"Content-Length: %d\r\n" % len(SECOND)) + SECOND, {400}, False),
    ("TE identity, chunked", get(P, b"Transfer-Encoding: identity, chunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("TE xchunked", get(P, b"Transfer-Encoding: xchunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("TE twice", get(P, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("TE on 1.0", get(P, b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0") + b"0\r\n\r\n", {400}, False),
    ("TE chunked on GET", get(P, b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("TE with VT", get(P, b"Transfer-Encoding: \x0bchunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("bad chunk", get(P, b"Transfer-Encoding: chunked\r\n") + b"zz\r\n\r\n", {400}, False),
    ("chunk overflow", get(P, b"Transfer-Encoding: chunked\r\n") + b"ffffffffffffffffff\r\n", {400, 413}, False),
    ("two Host", get(P, b"Host: evil.example\r\n"), {400}, False),
    ("no Host", get(P, host=b""), {400}, False),
    ("other Host", get(P, host=b"Host: evil.example\r\n"), {403}, True),
    ("Host with port", get(P, host=b"Host: localhost:8650\r\n"), {200}, True),
    ("Host with bad port", get(P, host=b"Host: localhost:80x\r\n"), {403}, True),
    ("Host v6", get(P, host=b"Host: [::1]:1\r\n"), {200}, True),
    ("Host of all of loopback", get(P, host=b"Host: 127.0.0.2:8650\r\n"), {200}, True),
    ("Host prefix", get(P, host=b"Host: localhost.evil.example\r\n"), {403}, True),
    ("Host with userinfo", get(P, host=b"Host: localhost@evil.example\r\n"), {403}, True),
    ("NUL in name", get(P, b"X\x00Y: 1\r\n"), {400}, False),
    ("NUL in value", get(P, b"X: a\x00b\r\n"), {200, 400}, False),
    ("control in value", get(P, b"X: a\x01b\r\n"), {400}, False),
    ("CR in value", get(P, b"X: a\rb\r\n"), {400}, False),
    ("space before colon", get(P, b"Content-Length : 5\r\n"), {400}, False),
    ("space in name", get(P, b"X Y: 1\r\n"), {400}, False),
    ("bracket in name", get(P, b"X[Y]: 1\r\n"), {400}, False),
    ("empty name", get(P, b": 1\r\n"), {200, 400}, True),
    ("no colon", get(P, b"Nonsense\r\n"), {400}, False),
    ("obs-fold", get(P, b"X: a\r\n b\r\n"), {200, 400}, False),
    ("obs-fold in CL", get(P, b"Content-Length:\r\n 5\r\n") + b"hello", {400}, False),
    ("obs-fold in TE", get(P, b"Transfer-Encoding:\r\n chunked\r\n") + b"0\r\n\r\n", {400}, False),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", {400, 505}, False),
    ("HTTP/2.0", get(P, version=b"HTTP/2.0"), {400, 505}, False),
    ("HTTP/9.9", get(P, version=b"HTTP/9.9"), {400, 505}, False),
    ("HTTP/1.1x", get(P, version=b"HTTP/1.1x"), {400, 505}, False),
    ("lower-case version", get(P, version=b"http/1.1"), {400, 505}, False),
    ("header of 100 KiB", get(P, b"X: " + b"a" * 102400 + b"\r\n"), {None, 400, 431}, False),
    ("5000 headers", get(P, b"X: y\r\n" * 5000), {None, 400, 431}, False),
    ("URL of 100 KiB", get(b"/" + b"a" * 102400), {None, 414, 431}, False),
    ("path unknown", get(b"/nope"), {404}, True),
    ("path up", get(b"/../../etc/passwd"), {404}, True),
    ("path with encoded up", get(b"/%2e%2e/%2e%2e/etc/passwd"), {404}, True),
    ("path with NUL", get(b"/healthz%00x"), {400}, True),
    ("path with CR LF", get(b"/healthz%0d%0aX:1"), {400}, True),
    ("broken escape", get(b"/healthz%zz"), {400}, True),
    ("escape cut", get(b"/healthz%4"), {400}, True),
    ("NUL in a value", get(b"/api/v1/emissions?band=a%00b"), {400}, True),
    ("unknown parameter", get(b"/api/v1/emissions?colour=red"), {400}, True),
    ("invalid UTF-8 parameter", get(b"/api/v1/emissions?%ff%fe=1"), {400}, True),
    ("same parameter twice", get(b"/api/v1/emissions?limit=1&limit=2"), {400}, True),
    ("limit 0", get(b"/api/v1/emissions?limit=0"), {400}, True),
    ("limit no whole number", get(b"/api/v1/emissions?limit=2.5"), {400}, True),
    ("limit 1e2", get(b"/api/v1/emissions?limit=1e2"), {400}, True),
    ("limit with a sign", get(b"/api/v1/emissions?limit=%2b5"), {400}, True),
    ("limit empty", get(b"/api/v1/emissions?limit="), {400}, True),
    ("cursor 2^64", get(b"/api/v1/emissions?cursor=18446744073709551616"), {400}, True),
    ("cursor of 18 digits", get(b"/api/v1/emissions?cursor=999999999999999999"), {200}, True),
    ("rows since the first", get(b"/api/v1/waterfall?since=0&limit=1"), {200}, True),
    ("since the day that was not", get(b"/api/v1/emissions?since=2026-02-30T00:00:00Z"), {400}, True),
    ("GET of what PATCH changes", get(b"/api/v1/budget"), {405}, True),
    ("GET of reload", get(b"/api/v1/reload"), {405}, True),
    ("compressed body", get(b"/api/v1/classify?datatype=cu8&rate_hz=1e6", b"Content-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n"
                            b"Content-Length: 2\r\n", method=b"POST") + b"ab", {415}, False),
    ("limit nan", get(b"/api/v1/emissions?limit=nan"), {400}, True),
    ("HEAD of events", get(b"/api/v1/events", method=b"HEAD"), {200}, True),
    ("limit 1e400", get(b"/api/v1/emissions?limit=1e400"), {400}, True),
    ("cursor negative", get(b"/api/v1/emissions?cursor=-1"), {400}, True),
    ("a number in hex", get(b"/api/v1/emissions?min_snr=0x10"), {400}, True),
    ("since after until", get(b"/api/v1/emissions?since=2026-02-03T00:00:00Z&until=2026-02-02T00:00:00Z"), {400}, True),
    ("since no time", get(b"/api/v1/emissions?since=yesterday"), {400}, True),
    ("state unknown", get(b"/api/v1/emissions?state=dead"), {400}, True),
    ("20 parameters", get(b"/api/v1/emissions?" + b"&".join(b"p%d=1" % i for i in range(20))), {400}, True),
    ("1000 parameters", get(b"/api/v1/emissions?" + b"&".join(b"p%d=1" % i for i in range(1000))), {None, 400, 414, 431}, True),
    ("id long", get(b"/api/v1/emissions/" + b"a" * 500), {404}, True),
    ("id none", get(b"/api/v1/emissions/"), {404}, True),
    ("id with slash", get(b"/api/v1/emissions/a/b"), {404}, True),
    ("id with quote", get(b"/api/v1/emissions/%22%3cscript%3e"), {404}, True),
    ("types unknown", get(b"/api/v1/events?types=spectrum,nonsense"), {400}, True),
    ("POST", get(P, b"Content-Length: 0\r\n", method=b"POST"), {405}, True),
    ("POST with body", get(P, b"Content-Length: 5\r\n", method=b"POST") + b"hello", {405}, False),
    ("PUT", get(P, b"Content-Length: 0\r\n", method=b"PUT"), {405}, True),
    ("DELETE", get(P, method=b"DELETE"), {405}, True),
    ("OPTIONS", get(P, method=b"OPTIONS"), {405}, True),
    ("TRACE", get(P, method=b"TRACE"), {405}, True),
    ("CONNECT", get(b"127.0.0.1:80", method=b"CONNECT"), {404, 405, 400}, True),
    ("method with NUL", get(P, method=b"G\x00ET"), {400, 405}, True),
    ("method long", get(P, method=b"A" * 5000), {400, 405, 431}, True),
    ("absolute form", get(b"http://127.0.0.1/healthz"), {200, 404}, True),
    ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), {400, 404}, True),
    ("nothing", b"", set(), False),
    ("line ends only", b"\r\n\r\n\r\n", set(), False),
]


def run_cases(server):
    for name, data, allowed, second in CASES:
        before = server.metric(r'attune_http_requests_total\{route="none",code="404"\}')
        answer = server.send(data + SECOND if name != "nothing" else data)
        got = statuses(answer)
        first = got[0] if got else None
        check(f"{name}: status", first in allowed if allowed else first in (None, 400, 404), got)
        own = 1 if first == 404 and name != "line ends only" else 0
        ran = server.metric(r'attune_http_requests_total\{route="none",code="404"\}') - before - own
        if not second and name not in ("NUL in value", "obs-fold", "line ends only", "HTTP/1.0 without Host"):
            check(f"{name}: nothing behind it ran", ran == 0, (ran, answer[-200:]))
        if first and first >= 400 and b"application/json" in answer.split(b"\r\n\r\n")[0]:
            body = answer.split(b"\r\n\r\n", 1)[1]
            check(f"{name}: error object", body.startswith(b'{"error":{"code":"'), body[:80])


def run_mutants(server, n):
    rng = random.Random(650)
    pool = [c[1] for c in CASES if len(c[1]) < 2000 and c[1]]
    for _ in range(n):
        data = bytearray(rng.choice(pool))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            what = rng.randrange(4)
            if what == 0:
                data[at] = rng.randrange(256)
            elif what == 1:
                del data[at]
            elif what == 2:
                data[at:at] = rng.choice([b"\r\n", b"\0", b" ", b"%", b"chunked", b"Content-Length: 3\r\n", b"\xff"])
            else:
                data = data[:at + 1]
            if not data:
                break
        server.send(bytes(data), 0.004)
    check("alive after mutants", statuses(server.send(get(P, b"Connection: close\r\n"))) == [200], "no answer")


def run_slow(server, timeout_s):
    """A client that sends a byte now and then is ended by the deadline of the whole request; others are served."""
    socks = []
    for _ in range(40):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        socks.append(s)
    begin, worst, ended = time.monotonic(), 0.0, None
    beside = 0  # how often others were served while slow ones were still waited for
    while time.monotonic() - begin < 30 * timeout_s and ended is None:
        alive = 0
        for s in socks:
            try:
                s.sendall(b"X: y\r\n")
                s.settimeout(0.001)
                alive += s.recv(1) != b""
            except socket.timeout:
                alive += 1
            except OSError:
                pass
        t = time.monotonic()
        answer = server.send(get(P, b"Connection: close\r\n"))
        worst = max(worst, time.monotonic() - t)
        beside += time.monotonic() - begin < timeout_s and statuses(answer) == [200]
        check("served beside slow clients", statuses(answer) == [200], answer[:60])
        if not alive:
            ended = time.monotonic() - begin
        time.sleep(0.3)
    for s in socks:
        s.close()
    print(f"slow requests ended after {ended} s of {timeout_s}; others waited {1e3 * worst:.1f} ms at most")
    check("slow requests end, though a byte comes now and then", ended is not None, ended)
    check("others are served before the slow ones' time is over", beside > 0, worst)


def run_flood(server, timeout_s):
    """One address takes all it may; another is served before that one's time is over."""
    socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    t = time.monotonic()
    answer = server.send(get(P, b"Connection: close\r\n"), source="127.0.0.2")
    took = time.monotonic() - t
    for s in socks:
        s.close()
    print(f"another address than the flood's is served in {1e3 * took:.1f} ms")
    check("other address is served", statuses(answer) == [200] and took < timeout_s, (statuses(answer), took))
    time.sleep(0.3)


def run_events(server):
    s = socket.create_connection(("127.0.0.1", server.port))
    s.sendall(get(b"/api/v1/events?types=radio,decision"))
    s.settimeout(60)
    text = b""
    while text.count(b"event: radio") < 5:
        text += s.recv(4096)
    ids = [int(i) for i in re.findall(rb"id: (\d+)", text)]
    check("events come in order", ids == list(range(ids[0], ids[0] + len(ids))), ids)
    check("content type", b"text/event-stream" in text, text[:200])
    s.close()
    s = socket.create_connection(("127.0.0.1", server.port))
    s.settimeout(60)
    s.sendall(get(b"/api/v1/events", b"Last-Event-ID: %d\r\n" % ids[1]))
    text = b""
    while b"\nid: " not in text.replace(b"id: ", b"\nid: ", 1) or text.count(b"event:") < 2:
        text += s.recv(4096)
    check("goes on after Last-Event-ID", re.findall(rb"id: (\d+)", text)[0] == b"%d" % (ids[1] + 1), text[-200:])
    # A reader that stands still while more comes than the ring holds is dropped, and counted; then we are still well.
    before = server.metric("attune_sse_dropped_total")
    server.p.stdin.write(b"b")
    server.p.stdin.flush()
    check("a burst is published", server.p.stdout.readline() == b"published\n", "no word")
    s.settimeout(0.01)
    end = time.monotonic() + 60
    while server.metric("attune_sse_dropped_total") == before and time.monotonic() < end:
        time.sleep(0.2)
        try:
            s.recv(1 << 20)
        except OSError:
            pass
    s.close()
    check("slow reader is dropped", server.metric("attune_sse_dropped_total") == before + 1,
          server.metric("attune_sse_dropped_total"))


def run_token(exe):
    p = subprocess.run([exe, "0.0.0.0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    check("no token off loopback: refused", p.returncode == 1 and b"token" in p.stderr, (p.returncode, p.stderr))
    token = b"0123456789abcdef0123456789abcdef"
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "token")
    with open(path, "wb") as f:
        f.write(token + b"\n")
    os.chmod(path, 0o600)
    server = Server(exe, "0.0.0.0", path)
    tries = [(b"", 401), (b"Authorization: Bearer " + token + b"\r\n", 200),
             (b"Authorization: Bearer " + token[:-1] + b"\r\n", 401), (b"Authorization: Bearer \r\n", 401),
             (b"Authorization: Bearer " + token + b"x\r\n", 401), (b"Authorization: Basic " + token + b"\r\n", 401),
             (b"Authorization: Bearer " + b"a" * 8000 + b"\r\n", 401),
             ((b"Authorization: Bearer " + token + b"\r\n") * 2, 400)]
    basic = lambda word: b"Authorization: Basic " + base64.b64encode(b"me:" + word) + b"\r\n"
    tries += [(basic(token), 200), (basic(token[:-1]), 401), (b"Authorization: Basic " + base64.b64encode(token) + b"\r\n", 401)]
    for extra, want in tries:
        got = statuses(server.send(get(P, extra + b"Connection: close\r\n")))
        check(f"token {extra[:40]!r}", got == [want], got)
    asked = server.send(get(P, b"Connection: close\r\n"))
    check("a browser is asked for it", b"WWW-Authenticate: Basic realm" in asked and b"WWW-Authenticate: Bearer" in asked, asked[:400])
    reload = b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
    got = statuses(server.send(reload + basic(token) + b"\r\n"))
    check("a password changes nothing", got == [403], got)
    new = b"f" * 32  # a new token is taken without a restart
    with open(path, "wb") as f:
        f.write(new + b"\n")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        got = statuses(server.send(get(P, b"Authorization: Bearer " + new + b"\r\nConnection: close\r\n")))
        if got == [200]:
            break
        time.sleep(0.2)
    check("token is read again on change", got == [200], got)
    got = statuses(server.send(get(P, b"Authorization: Bearer " + token + b"\r\nConnection: close\r\n")))
    check("the old one is void", got == [401], got)
    shutil.rmtree(folder)
    server.stop()


def main():
    exe, mutants = arguments("SERVE_VIEW", "[MUTANTS]")
    server = Server(exe)
    run_cases(server)
    run_mutants(server, int(mutants or 3000))
    run_events(server)
    check("clean end", server.stop() == 0, "exit code")
    server = Server(exe, "127.0.0.1", "", str(SLOW_S))
    run_flood(server, SLOW_S)
    run_slow(server, SLOW_S)
    check("clean end", server.stop() == 0, "exit code")
    run_token(exe)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
