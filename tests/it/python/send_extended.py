"""Sends standard input as one message with Python's smtplib and parameters of extensions.

    send_extended.py ADDRESS PORT SENDER RECIPIENT [--mail PARAMETER]... [--rcpt PARAMETER]...

Parameters are given to MAIL and RCPT as they are; with SMTPUTF8 among those of MAIL the addresses
may have characters beyond ASCII.
"""

import argparse
import smtplib
import sys

TIMEOUT_S = 60


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("sender")
    parser.add_argument("recipient")
    parser.add_argument("--mail", action="append", default=[])
    parser.add_argument("--rcpt", action="append", default=[])
    return parser.parse_args()


def main():
    arguments = read_arguments()
    content = sys.stdin.buffer.read()
    where = (arguments.address, arguments.port)
    with smtplib.SMTP(*where, timeout=TIMEOUT_S) as session:
        refused = session.sendmail(
            arguments.sender,
            [arguments.recipient],
            content,
            mail_options=arguments.mail,
            rcpt_options=arguments.rcpt,
        )
    if refused:
        sys.exit(f"refused: {refused}")


main()
