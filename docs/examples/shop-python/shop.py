"""The back end of a small shop: it has a receipt sent as a notice and waits for
the webhook that tells what became of it. It exits with 0 when the notice was
accepted, else with 1 and a reason. See docs/notices.md. Python 3.9 or later."""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import queue
import random
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request

env = os.environ.get
URL = env("SHOP_API_URL", "http://localhost:8080")
KEY = env("SHOP_API_KEY", "")  # it has the scopes notices:send and notices:read
RECIPIENT = env("RECIPIENT", "")
ORDER = env("ORDER", "A-1001")
SECRETS = [s for s in env("WEBHOOK_SECRET", "").split(",") if s]  # several during a rotation
DEADLINE = time.monotonic() + int(env("WAIT_SECONDS", "60"))


def main():
    if not KEY or not RECIPIENT or not SECRETS:
        sys.exit("shop: SHOP_API_KEY, RECIPIENT and WEBHOOK_SECRET must be set")
    # Listen before anything is sent: the webhook may be faster than the answer.
    host, _, port = env("WEBHOOK_LISTEN", "127.0.0.1:0").rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Receiver)
    say("webhooks are taken on %s:%d" % server.server_address[:2])
    if env("WEBHOOK_CERT"):  # else a proxy before this has the certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(env("WEBHOOK_CERT"), env("WEBHOOK_KEY"))
        # The handshake is left to the thread of each connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    notice = send_receipt()
    say(f"the receipt is notice {notice}")
    follow(notice)


def say(text):
    print(text, flush=True)


def send_receipt():
    """Goes on trying until the notice is in the ledger. Its Idempotency-Key makes
    every repetition the same notice, however many answers are lost."""
    body = json.dumps({
        "type": "receipt", "to": {"email": RECIPIENT, "name": "Ada"}, "external_id": ORDER,
        "data": {"order": {"id": ORDER, "placed_on": "2026-11-24", "currency": "EUR", "total": "32.10", "items": [
            {"name": "Tea, 100 g", "quantity": 2, "price": "9.80"}, {"name": "Cup", "quantity": 1, "price": "12.50"}]}},
        "attachments": [{"name": "receipt.txt", "content_type": "text/plain",
                         "content": base64.b64encode(f"Order {ORDER}: 32.10 EUR, paid.\n".encode()).decode()}],
    }).encode()
    pause = 1.0
    while True:
        try:
            return call("POST", "/notices", body)["results"][0]["id"]
        except Later as later:
            say(f"trying again: {later}")
            wait = max(later.after, pause * random.uniform(0.5, 1.5))  # by chance, so that not all come back at once
            if time.monotonic() + wait > DEADLINE:
                sys.exit(f"shop: the receipt was not taken: {later}")
            time.sleep(wait)
            pause = min(2 * pause, 30)


class Later(Exception):
    """A fault after which another try may do better, after some seconds at least."""

    def __init__(self, why, after=0):
        super().__init__(str(why))
        self.after = after


def call(method, path, body=None):
    headers = {"Authorization": "Bearer " + KEY, "Content-Type": "application/json", "Idempotency-Key": "receipt-" + ORDER}
    request = urllib.request.Request(URL + "/api/v1" + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        if e.code == 429 or e.code >= 500:
            after = e.headers.get("Retry-After", "")
            raise Later(f"{e.code} {e.reason}", int(after) if after.isdecimal() else 0) from None
        sys.exit(f"shop: {e.code} {e.reason}: {e.read().decode(errors='replace')}")
    except (OSError, http.client.HTTPException) as e:
        raise Later(e) from None


events = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks. One that is not answered with 2xx within 5 seconds comes again."""

    timeout = 5

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size) if size <= 1 << 20 else b""
        if signed(self.headers, body):
            # A shop with a database writes it down before it answers.
            events.put((self.headers["webhook-id"], json.loads(body)))
            self.send_response(204)
        else:
            say("refused a webhook that is not signed as it should be")
            self.send_response(401)
        self.end_headers()

    def log_message(self, *args):
        pass


def signed(headers, body):
    """Checks a message as the Standard Webhooks have it: one of the signatures
    must be by one of the secrets, and not be older than 5 minutes."""
    sent = headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > 300:
        return False
    content = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
    for secret in SECRETS:
        mac = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256)
        want = b"v1," + base64.b64encode(mac)
        for signature in headers.get("webhook-signature", "").split():
            if hmac.compare_digest(want, signature.encode()):
                return True
    return False


def follow(notice):
    """Waits for the notice's end, and asks for it when no webhook told of it in time."""
    seen = set()
    while True:
        try:
            message, event = events.get(timeout=max(DEADLINE - time.monotonic(), 0))
        except queue.Empty:
            break
        if message in seen:  # it came again
            continue
        seen.add(message)
        data = event["data"]
        say(f"{event['type']}: notice {data.get('notice')}, attempt {data.get('attempts')}, {data.get('reply', '')}")
        if data.get("notice") == notice:
            judge(data["state"], data.get("reply", ""))
    try:
        found = call("GET", f"/notices/{notice}")
    except Later as later:
        sys.exit(f"shop: {later}")
    say(f"no webhook told of the receipt in time; the API says that it is {found['state']}")
    judge(found["state"], found["reply"].get("text", ""))
    sys.exit(f"shop: there was no time for more; the receipt is {found['state']}")


def judge(state, why):
    """Ends the program if the receipt has ended."""
    if state == "accepted":
        sys.exit(0)
    if state not in ("queued", "claimed", "deferred"):
        sys.exit(f"shop: the receipt is {state}: {why}")


if __name__ == "__main__":
    main()
