"""A receiving server on aiosmtpd that keeps every message byte for byte.

For each message it writes NNNNN.eml, the content as it came with dots removed, and then
NNNNN.envelope, whose first line is the sender and whose further lines are the recipients. The
envelope is renamed into place, so whoever sees it sees the whole message.

    aiosmtpd_sink.py ADDRESS PORT DIRECTORY [--answer STAGE RECIPIENT TIMES REPLY]...

It prints `ready` once it listens. --answer makes it give REPLY instead of accepting, TIMES times (0: always), at STAGE `rcpt` or
`data`, for RECIPIENT.
"""

import argparse
import asyncio
import logging
import os
import pathlib

from aiosmtpd.smtp import SMTP

CONTENT_BYTES_MAX = 64 * 1024 * 1024


class Answers:
    """The replies asked for, each for as many times as asked."""

    def __init__(self, rules):
        self.rules = [
            {"stage": stage, "recipient": recipient, "times": int(times), "reply": reply}
            for stage, recipient, times, reply in rules
        ]

    def take(self, stage, recipients):
        for rule in self.rules:
            if rule["stage"] != stage or rule["recipient"] not in recipients:
                continue
            if rule["times"] == 0:
                return rule["reply"]
            rule["times"] -= 1
            if rule["times"] == 0:
                self.rules.remove(rule)
            return rule["reply"]
        return None


class KeepEverything:
    def __init__(self, directory, answers):
        self.directory = directory
        self.answers = answers
        # An earlier instance may have kept some there.
        self.count = len(list(directory.glob("*.envelope")))

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = self.answers.take("rcpt", [address])
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        reply = self.answers.take("data", envelope.rcpt_tos)
        if reply is not None:
            return reply
        self.count += 1
        stem = self.directory / f"{self.count:05}"
        stem.with_suffix(".eml").write_bytes(envelope.content)
        unfinished = stem.with_suffix(".unfinished")
        # aiosmtpd keeps the null sender's brackets.
        sender = "" if envelope.mail_from == "<>" else envelope.mail_from
        unfinished.write_text("\n".join([sender, *envelope.rcpt_tos]), encoding="utf-8")
        os.rename(unfinished, stem.with_suffix(".envelope"))
        return "250 2.0.0 kept"


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--answer", nargs=4, action="append", default=[])
    return parser.parse_args()


async def serve(arguments):
    handler = KeepEverything(arguments.directory, Answers(arguments.answer))

    def session():
        return SMTP(
            handler,
            data_size_limit=CONTENT_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="aiosmtpd.test",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, arguments.address, arguments.port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(read_arguments()))
