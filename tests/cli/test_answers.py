#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tail, emissions and top against a server that answers whatever a test wants."""
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import terminal  # noqa: E402
from terminal import LONG_S  # noqa: E402
from usage import arguments  # noqa: E402

(ATTUNE,) = arguments("ATTUNE")

EMISSION = {"id": "a-1", "state": "active", "radio": "r", "band": "b", "start": "2026-11-23T19:05:11.123456789Z", "center_hz": 433.92e6,
            "bandwidth_hz": 12.5e3, "snr_db": 14.25, "class": "ook", "group": "digital", "confidence": 0.91, "service": "remote \"control\"",
            "backend": "flash", "latency_ms": 3.2}
STATUS = {"version": "9.9.9", "uptime_s": 61.5, "ready": True, "kv_bytes": 2e6, "budget": {"latency_ms": 30, "kv_mb": 480},
          "decisions": {"count": 5, "budget_exceeded": 1, "queue_depth": 0, "latency_p95_ms": 45.0}, "emissions": {"active": 2, "ended": 7}}
RADIO = {"name": "roof", "state": "running", "center_hz": 433.92e6, "rate_hz": 1.024e6, "busy_ratio": 0.25,
         "samples": {"delivered": 2.5e9, "lost": {"overflow": 3, "ring_full": 2, "gap": 0}}}
BANDS = [{"name": "ism", "radio": "roof", "state": "visited", "center_hz": 433.92e6, "noise_floor_dbfs_per_hz": -112.5, "occupancy_ratio": 0.5,
          "emissions_active": 2, "since_s": 4, "visits": 2},
         {"name": "a band with a long name", "radio": "roof", "state": "waiting", "center_hz": 868.3e6, "error": "no such rate"},
         {"name": "other", "radio": "cellar", "state": "visited", "center_hz": 0.5e6}]
SELECTOR = {"backend": "flash", "reason": "most accurate that fits", "candidates": [
    {"backend": "flash", "mode": "fp32", "window": 1024, "active": True, "accuracy": 0.8, "live_p50_ms": 9, "live_p95_ms": 45,
     "kv_bytes_per_session": 4e6, "reason": "most accurate"},
    {"backend": "mha", "mode": "bf16", "window": 256, "active": False, "calibrated_ms": 1.5, "kv_bytes_per_session": 4e6, "reason": "slower"}]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        answer = self.server.answer(urlsplit(self.path).path, parse_qs(urlsplit(self.path).query))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Connection", "close")
            if not body.startswith((b"event:", b"id:", b":", b"data:")):
                self.send_header("Content-Length", str(len(body) + 10 * (status == 299)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # it left first

    def log_message(self, *_):
        pass


def event(kind, number, data, end="\n"):
    data = data if isinstance(data, str) else json.dumps(data)
    return f"event: {kind}{end}id: {number}{end}data: {data}{end}{end}".encode()


class Case(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked, self.server.answer = [], lambda path, query: (404, {})
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.folder.cleanup()

    def give(self, answer):
        """answer: of every path, or a function of path and query."""
        self.server.answer = answer if callable(answer) else lambda path, query: answer

    def attune(self, *args, stdout=subprocess.PIPE, **env):
        return subprocess.run([ATTUNE, *map(str, args)], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=LONG_S, check=False,
                              env={**os.environ, "ATTUNE_URL": self.url, **env})

    def ok(self, *args, **env):
        r = self.attune(*args, **env)
        self.assertEqual((r.returncode, r.stderr), (0, ""), args)
        return r.stdout

    def refused(self, code, word, *args, **env):
        r = self.attune(*args, **env)
        self.assertEqual((r.returncode, r.stdout), (code, ""), (args, r.stderr))
        self.assertIn(word, r.stderr, args)
        self.assertEqual(len(r.stderr.splitlines()), 2 if code == 2 else 1, r.stderr)


class Refusals(Case):
    def test_each_answer_has_its_words(self):
        for answer, word in [((401, {}), "wants a token (401); give --token-file"), ((403, {}), ": 403"),
                             ((403, {"error": {"message": "Host is not allowed"}}), ": 403: Host is not allowed"),
                             ((503, {"error": {"message": "the model loads"}}), ": 503: the model loads"), ((500, b"<html>"), ": 500"),
                             ((500, {"error": 3}), ": 500"), (b"<html>", "no JSON; is this attuned?"), (b"", "no JSON"),
                             ((299, b"{}"), "transfer closed"), (b" " * (33 << 20), "too long")]:
            self.give(answer)
            for command in ("emissions", "top"):
                self.refused(1, word, command)
        self.give((401, {}))
        self.refused(1, "wants a token", "tail")
        self.give((400, {"error": {"message": "types: give names"}}))
        self.refused(1, ": 400: types: give names", "tail")
        self.give((503, {}))
        self.refused(1, "503", "tail")

    def test_a_server_cannot_write_on_the_terminal(self):
        evil = "x\x1b]0;owned\x07\x7f\u009b31m\r\ny"
        self.give((500, {"error": {"message": evil}}))
        r = self.attune("emissions")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, r"500: x\?\]0;owned\?\?\?\?31m\?\?y\n$")
        self.give(event("radio", 1, {"name": evil, "state": evil, "error": evil}) + event("selector", 2, {"from": evil, "reason": evil}) +
                  event("e\x1bv", 3, {}) + event("decision", 4, dict(EMISSION, **{"class": evil, "service": evil})))
        out = self.ok("tail", "-n", "4")
        self.assertEqual(len(out.splitlines()), 4, out)
        self.give(lambda path, query: {"/api/v1/status": dict(STATUS, version=evil, not_ready_reason=evil), "/api/v1/radios": {"items": [dict(RADIO, name=evil, error=evil)]},
                                       "/api/v1/selector": dict(SELECTOR, reason=evil)}.get(path, {"items": [dict(EMISSION, service=evil)]}))
        for text in (out, self.ok("emissions"), self.ok("top", "--once")):
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")

    def test_addresses(self):
        self.give({"items": []})
        self.assertEqual(self.ok("emissions", "-u", self.url + "///"), "")
        self.assertEqual(urlsplit(self.server.asked[-1][0]).path, "/api/v1/emissions")
        self.refused(2, "no URL", "emissions", "-u", "http://" + "x" * 600)
        self.refused(2, "no URL", "emissions", ATTUNE_URL="ftp://x")
        self.refused(1, "emissions", "emissions", "-u", self.url.replace("http", "https"))
        self.refused(1, "is attuned running?", "emissions", "-u", "http://127.0.0.1:1")

    def test_tokens(self):
        token = Path(self.folder.name, "token")
        self.give({"items": []})
        for text in ("", "\n", "\r\nsecret\n"):
            token.write_text(text)
            self.refused(2, "no token in its first line", "emissions", "--token-file", token)
        token.write_bytes(b"secret\r\nmore\n")
        self.ok("emissions", "--token-file", token)
        self.assertEqual(self.server.asked[-1][1]["Authorization"], "Bearer secret")
        self.give(event("radio", 1, {"name": "r"}))
        self.ok("tail", "-n", "1", "--token-file", token)
        self.assertEqual(self.server.asked[-1][1]["Authorization"], "Bearer secret")
        self.refused(2, str(token) + "x: No such file", "top", "--token-file", f"{token}x")

    def test_what_cannot_be_written_is_said(self):
        self.give(lambda path, query: {"/api/v1/status": STATUS, "/api/v1/events": event("radio", 1, {})}.get(path, {"items": [EMISSION]}))
        for args in (["emissions"], ["emissions", "--json"], ["top", "--once"], ["top", "--json"], ["tail", "-n", "9"], ["tail", "-n", "9", "--json"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                r = self.attune(*args, stdout=full)
            self.assertEqual((r.returncode, "standard output" in r.stderr), (1, True), (args, r.stderr))

    def test_a_reader_that_has_enough_is_no_fault(self):
        self.give(lambda path, query: {"/api/v1/status": STATUS, "/api/v1/events": event("radio", 1, {})}.get(path, {"items": [EMISSION]}))
        for args in (["emissions"], ["emissions", "--json"], ["top", "--once"], ["top", "--json"], ["tail", "-n", "9"], ["tail", "-n", "9", "--json"], ["synth", "--list"]):
            reader, writer = os.pipe()
            os.close(reader)
            with os.fdopen(writer, "w") as pipe:
                r = self.attune(*args, stdout=pipe)
            self.assertEqual((r.returncode, r.stderr), (1, ""), args)


class Emissions(Case):
    def test_pages_are_followed_to_the_limit(self):
        def page(path, query):
            limit, cursor = int(query["limit"][0]), int(query.get("cursor", ["0"])[0])
            following = cursor + limit
            return {"items": [dict(EMISSION, id=f"a-{cursor + i}") for i in range(limit)], "next": following if text else str(following)}

        for text in (False, True):
            self.give(page)
            ids = [json.loads(x)["id"] for x in self.ok("emissions", "--json", "-n", "450").splitlines()]
            self.assertEqual(ids, [f"a-{i}" for i in range(450)])
        for last in ({"items": [EMISSION], "next": None}, {"items": [EMISSION]}, {"items": [EMISSION], "next": {}}, {"items": []}, {}, []):
            self.give(last)
            self.assertLessEqual(len(self.ok("emissions", "-n", "3").splitlines()), 3, last)

    def test_what_is_asked(self):
        self.give({"items": []})
        self.ok("emissions", "--band", "a & b", "--radio", "r/1", "--class", "ook", "--min-snr", "-3.5", "--since", "2026-11-23T19:05:11Z", "--until", "1h", "--state", "ended")
        asked = parse_qs(urlsplit(self.server.asked[-1][0]).query)
        self.assertEqual({k: v for k, v in asked.items() if k not in ("since", "until")},
                         {"band": ["a & b"], "radio": ["r/1"], "class": ["ook"], "min_snr": ["-3.5"], "state": ["ended"], "limit": ["100"]})
        self.assertRegex(asked["since"][0], r"^2026-11-23T19:05:11(\.0+)?Z$")
        self.ok("emissions", "--since", "1000000d")  # longer ago than a clock of 64 bits goes
        self.assertRegex(parse_qs(urlsplit(self.server.asked[-1][0]).query)["since"][0], r"^1970-01-01T00:00:00(\.0+)?Z$")
        for wrong, word in [(["--min-snr", "loud"], "no number of decibels"), (["--until", "soon"], "--until: write 2h"), (["--band", "&" * 400], "filters are too long"),
                            (["--radio", "x" * 1000], "filters are too long"), (["x"], "no argument expected")]:
            self.refused(2, word, "emissions", *wrong)
        self.give({"items": [EMISSION], "next": "&" * 63})  # a cursor that makes it too long
        r = self.attune("emissions", "--class", "x" * 985)
        self.assertEqual((r.returncode, len(r.stdout.splitlines())), (2, 1), r.stderr)
        self.assertIn("filters are too long", r.stderr)

    def test_what_is_missing_is_left_out(self):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        self.give({"items": [dict(EMISSION, start=f"{stamp}.25Z"), EMISSION]})
        today, past = self.ok("emissions").splitlines()
        self.assertRegex(today, r"^\+ (\d\d:\d\d:\d\d\.25|" + stamp.replace("T", " ") + r")  433\.92")  # the day may have changed
        self.assertRegex(past, r"^\+ 2026-11-23 19:05:11  433\.92")
        odd = [{}, {"center_hz": 0.5e6, "bandwidth_hz": 700, "start_s": 1.5}, {"center_hz": "x", "bandwidth_hz": 2.5e6, "end": "2026-11-23T19:05:11Z", "group": "g"},
               {"state": "ended", "end_s": 2.25, "service": "s", "class": 5}, dict(EMISSION, group="")]
        self.give({"items": odd})
        lines = self.ok("emissions").splitlines()
        self.assertEqual(len(lines), len(odd))
        for line, words in zip(lines, (["-", "..."], ["500.00 kHz", "700 Hz", "1.50 s"], ["2.50 MHz", "19:05:11", "g"], ["2.25 s", "..."], ['remote "control"', "91 %", "3.2 ms"])):
            for word in words:
                self.assertIn(word, line)
        self.assertTrue(lines[3].startswith("-") and lines[0].startswith("+"))


class Tail(Case):
    def test_each_type_has_its_line(self):
        self.give(b": hello\n\nretry\ndata\n" + event("emission", 1, EMISSION) + event("decision", 2, EMISSION) + event("emission", 3, dict(EMISSION, state="ended"), "\r\n") +
                  event("radio", 4, {"name": "roof", "state": "failed", "error": "gone"}) + event("radio", 5, {"name": "roof", "state": "running"}) +
                  event("selector", 6, {"from": "mha", "to": "flash", "reason": "faster"}) + event("spectrum", 7, {}) + b"data: {}\n\n")
        lines = self.ok("tail", "-n", "8", "--types", "emission,decision,radio,selector,spectrum").splitlines()
        self.assertEqual([x[0] for x in lines], list("+ -*****"))
        self.assertEqual(lines[3:], ["* radio roof: failed: gone", "* radio roof: running", "* backend mha -> flash: faster", "* spectrum", "* message"])

    def test_what_is_no_event_is_passed_over(self):
        self.give(event("emission", 1, "no JSON") + event("emission", 2, '{"x": "' + "x" * 70000 + '"}') + event("emission", 3, EMISSION) +
                  b"data: \n\nevent: x\n\n" + event("emission", 4, dict(EMISSION, snr_db=3)) + event("emission", 5, dict(EMISSION, band="c")) +
                  event("decision", 6, dict(EMISSION, **{"class": "css"})) + event("emission", 7, {}) + event("emission", 8, EMISSION))
        ids = [json.loads(x)["event_id"] for x in self.ok("tail", "--json", "-n", "2", "--band", "b", "--class", "ook", "--min-snr", "10").splitlines()]
        self.assertEqual(ids, ["3", "8"])
        self.refused(2, "--types", "tail", "--types", "x" * 2000)
        model = {"classes": ["am", "ook"], "of_bands": [{"classes": ["mine"]}, 3]}
        said = event("emission", 1, EMISSION)
        self.give(lambda path, query: model if path == "/api/v1/model" else said)
        self.refused(2, "--class: oook is none of am, ook, unknown, weak", "tail", "--class", "oook")
        self.ok("tail", "-n", "1", "--class", "ook")
        said = event("emission", 1, dict(EMISSION, **{"class": "mine"}))
        self.ok("tail", "-n", "1", "--class", "mine")
        for model in ((503, {}), {"classes": []}, {}, b"<html>"):  # not known yet: the stream is asked all the same
            self.ok("tail", "-n", "1", "--class", "mine")
        bands = {"items": [{"name": "b"}, {"name": "c"}, 3]}
        said = event("emission", 1, EMISSION)
        self.give(lambda path, query: bands if path == "/api/v1/bands" else said)
        self.refused(2, "--band: bb is none of b, c", "tail", "--band", "bb")
        for bands in (bands, (503, {}), {"items": []}, {}, b"<html>"):
            self.ok("tail", "-n", "1", "--band", "b")
        self.refused(2, "no argument expected", "tail", "x")

    def test_it_goes_on_where_it_was_and_gives_up_without_a_token(self):
        seen = []

        def answer(path, query):
            seen.append(self.server.asked[-1][1].get("Last-Event-ID"))
            return event("radio", 40 + len(seen), {"name": "r", "state": str(len(seen))}) if len(seen) < 3 else (403, b"")

        self.give(answer)
        r = self.attune("tail")
        self.assertEqual((r.returncode, seen), (1, [None, "41", "42"]), r.stderr)
        self.assertEqual(r.stdout.splitlines(), ["* radio r: 1", "* radio r: 2"])
        self.assertIn(": 403", r.stderr.splitlines()[-1])

    def test_time_is_over_while_nobody_answers(self):
        self.give(lambda path, query: event("radio", 1, {}) if len(self.server.asked) == 1 else self.server.socket.close() or (200, b": \n"))
        p = subprocess.Popen([ATTUNE, "tail", "-u", self.url, "-T", "6s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = p.communicate(timeout=LONG_S)
        self.assertEqual((p.returncode, out, len(err.splitlines())), (0, "* radio : \n", 1), err)

    def test_a_signal_ends_it(self):
        self.give(lambda path, query: time.sleep(1) or event("radio", 1, {}))
        p = subprocess.Popen([ATTUNE, "tail", "-u", self.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "* radio : \n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual((p.wait(LONG_S), p.stdout.read()), (0, ""))
        p.stdout.close()
        p.stderr.close()


class Top(Case):
    def look(self, path, query):
        return {"/api/v1/status": STATUS, "/api/v1/radios": {"items": [RADIO, {"name": "cellar", "state": "failed", "error": "unplugged"}, {"name": "attic"}]},
                "/api/v1/bands": {"items": BANDS}, "/api/v1/selector": SELECTOR, "/api/v1/emissions": {"items": [EMISSION] * 60}}[path]

    def test_all_of_it(self):
        self.give(self.look)
        text = self.ok("top", "--once")
        for word in ("attuned 9.9.9", "up 1:01", "2.50 G", "overflow,ring_full", "for 4 s, 2 visits", "not visited yet", "no such rate", "unplugged", "!", "80.0 %", "1.50"):
            self.assertIn(word, text)
        self.assertNotIn("gap", text)
        self.assertEqual(sum("433.9200 MHz" in x and x.startswith("+") for x in text.splitlines()), 60)

    def test_before_the_model_is_loaded(self):
        self.give(lambda path, query: {"/api/v1/selector": (503, {"error": {"message": "loads"}}), "/api/v1/status": dict(STATUS, not_ready_reason="the model loads", budget={})}
                  .get(path, {"items": []}))
        text = self.ok("top", "--once")
        for word in ("not ready: the model loads", "the model is not loaded yet", "nothing on the air"):
            self.assertIn(word, text)
        self.assertIsNone(json.loads(self.ok("top", "--json"))["selector"])
        self.give({})  # not what attuned says
        self.assertEqual(json.loads(self.ok("top", "--json")), {"status": {}, "radios": None, "bands": None, "selector": {}, "emissions": None})
        self.assertIn("nothing on the air", self.ok("top", "--once"))

    def live(self, rows, columns, *args):
        return terminal.begin([ATTUNE, "top", *args], rows, columns, ATTUNE_URL=self.url)

    def read_until(self, fd, word):
        out = terminal.read(fd, word)
        self.assertRegex(out, word)
        return out

    def test_trouble_stands_above_the_last_look_and_a_missing_token_ends_it(self):
        self.give(self.look)
        pid, fd = self.live(24, 100, "-i", "100ms")
        out = self.read_until(fd, r"and \d+ more")
        self.assertIn("q quits", out)
        self.give((500, {"error": {"message": "on fire"}}))
        out = self.read_until(fd, "on fire(?s:.*)attuned 9.9.9")
        self.give(self.look)
        self.read_until(fd, r"and \d+ more")
        self.give((401, {}))
        out = self.read_until(fd, "wants a token")
        self.assertIn("\x1b[?25h", out)  # the cursor is back
        self.assertEqual(terminal.finish(pid, fd), 1)

    def test_a_low_terminal_keeps_room_for_what_is_on_the_air(self):
        candidates = [dict(SELECTOR["candidates"][1], backend=f"other{i}") for i in range(7)] + SELECTOR["candidates"][:1]
        self.give(lambda path, query: dict(SELECTOR, candidates=candidates) if path.endswith("selector") else
                  {"items": [RADIO]} if path.endswith("radios") else {"items": BANDS[2:]} if path.endswith("bands") else self.look(path, query))
        for rows, columns, least in ((24, 80, 5), (12, 40, 2), (60, 80, 20)):
            pid, fd = self.live(rows, columns, "-i", "1h")
            lines = terminal.plain(self.read_until(fd, "\x1b\\[J")).splitlines()
            os.write(fd, b"q")
            self.assertEqual(terminal.finish(pid, fd), 0)
            shown = sum(x.lstrip("+ ").startswith(("433.9200", "2026-")) for x in lines)
            print(f"top: {shown} emissions, {sum('other' in x for x in lines)} idle backends in {rows} x {columns}")
            self.assertGreaterEqual(shown, least, lines)
            self.assertLess(len(lines), rows, lines)  # one more would scroll
            self.assertEqual(sum("other" in x for x in lines), 7 if rows == 60 else 0)
            self.assertTrue(rows == 12 or any(x.startswith("* flash") for x in lines), lines)

    def test_keys(self):
        self.give(self.look)
        for keys in (b"xQ", b"\x03"):
            pid, fd = self.live(8, 60, "-i", "1h")
            self.read_until(fd, "attuned 9.9.9")
            for key in keys:
                asked = len(self.server.asked)
                os.write(fd, bytes([key]))
                if key == ord("x"):  # any other key: a fresh look at once
                    self.read_until(fd, "attuned 9.9.9")
                    self.assertGreater(len(self.server.asked), asked)
            self.assertEqual(terminal.finish(pid, fd), 0)
        self.give((404, {}))
        pid, fd = self.live(8, 60)
        self.read_until(fd, "404")
        self.assertEqual(terminal.finish(pid, fd), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
