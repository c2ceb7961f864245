"""What others may do to our Redis: entries and keys that no producer of good will would write (catalogue of docs/testing.md)."""
import json
import unittest
import urllib.error
import urllib.request

from harness import House, wait_until
from test_redis import Redis
from test_redis_intake import DEAD, PENDING, client, pending_count


def waiting(house):
    """-1 while the server is cut off: a Redis that is given 100 MB answers nobody for some seconds."""
    done = house.run("status", "-o", "json", check=False)
    return int(json.loads(done.stdout).get("waiting", 0)) if done.returncode == 0 else -1


def ready(house):
    try:
        with urllib.request.urlopen(f"http://{house.http}/readyz", timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def rss_bytes(process):
    with open(f"/proc/{process.pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) * 1024


class Entries(unittest.TestCase):
    def test_X5_a_value_of_100_MB_harms_nobody(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            producer = client(redis)
            producer.xadd(PENDING, {"id": "first", "type": "t"})
            wait_until("it waits", lambda: waiting(house) == 1)
            before = rss_bytes(house.server)
            producer.xadd(PENDING, {"id": "huge", "type": "t", "payload": '"' + "x" * (100 << 20) + '"'})
            producer.xadd(PENDING, {"id": "last", "type": "t"})
            wait_until("the next one waits", lambda: waiting(house) == 2, 60)
            wait_until("it stands aside", lambda: producer.xlen(DEAD) == 1, 60)
            dead = producer.xrange(DEAD)[0][1]
            self.assertIn("payload", dead["reason"])
            self.assertLess(len(dead["original:payload"]), 70_000)
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            wait_until("its memory is given back", lambda: rss_bytes(house.server) < before + (64 << 20), 20)

    def test_X8_X10_foreign_fields_and_ids_of_the_future(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            producer = client(redis)
            producer.xadd(PENDING, {"id": "a", "type": "t", "tenant": "somebody-else", "queue": "other"})
            wait_until("it waits", lambda: waiting(house) == 1)
            task = house.json("task", "list", "--state", "waiting")["tasks"][0]
            self.assertEqual((task["tenant"], task["queue"]), ("default", "default"), "an entry chooses neither")
            producer.xadd(PENDING, {"id": "b", "type": "t"}, id="9999999999999-0")
            producer.xadd(PENDING, {"id": "c", "type": "t"}, id="18446744073709551615-18446744073709551615")
            wait_until("both wait", lambda: waiting(house) == 3)
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            house.kill_server()
            house.start_server("--store", redis.url)
            self.assertEqual(waiting(house), 3)

    def test_X14_what_was_trimmed_before_it_was_read_is_gone_and_the_rest_goes_on(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            producer = client(redis)
            producer.xadd(PENDING, {"id": "a", "type": "t"})
            wait_until("it waits", lambda: waiting(house) == 1 and pending_count(redis) == 0)
            house.kill_server()
            for i in range(100):
                producer.xadd(PENDING, {"id": f"lost-{i}", "type": "t"})
            producer.xtrim(PENDING, 0, approximate=False)
            producer.xadd(PENDING, {"id": "b", "type": "t"})
            house.start_server("--store", redis.url)
            wait_until("what is there waits", lambda: waiting(house) == 2)
            self.assertEqual(pending_count(redis), 0)


class Keys(unittest.TestCase):
    def test_X15_a_claim_that_is_garbage_or_huge_is_another_owner(self):
        """Nothing is acknowledged any more; with the claim set back a new start has all that was."""
        for claim in ("garbage", "9223372036854775808 ffffffffffffffff ffffffffffffffff", "-1"):
            with self.subTest(claim=claim), Redis() as redis, House() as house:
                house.start_server("--store", redis.url)
                house.run("task", "submit", "--type", "t", "--payload", "kept")
                kept = redis.cli("hget", "{nexus:0}:head", "claim")
                redis.cli("hset", "{nexus:0}:head", "claim", claim)
                log = house.folder / "server.log"
                wait_until("it is seen", lambda: '"event":"superseded"' in log.read_text(), 20)
                refused = house.run("task", "submit", "--type", "t", "--payload", "not kept", "--timeout", "3s", check=False)
                self.assertNotEqual(refused.returncode, 0)
                wait_until("it is not ready", lambda: ready(house) == 503)
                self.assertIsNone(house.server.poll())
                house.kill_server()
                redis.cli("hset", "{nexus:0}:head", "claim", kept)
                house.start_server("--store", redis.url)
                self.assertEqual(waiting(house), 1)

    def test_X17_a_key_with_a_time_to_live_is_a_journal_that_was_emptied(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            house.run("task", "submit", "--type", "t", "--payload", "x")
            redis.cli("pexpire", "{nexus:0}:head", "200")
            wait_until("it is gone", lambda: redis.cli("exists", "{nexus:0}:head") == "0")
            house.run("task", "submit", "--type", "t", "--payload", "y", "--timeout", "3s", check=False)
            self.assertEqual(house.server.wait(timeout=30), 74)
            house.server.stdout.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
