"""Sends standard input as one message with Python's smtplib.

    send_smtplib.py ADDRESS PORT SENDER RECIPIENT...
"""

import smtplib
import sys

TIMEOUT_S = 60


def main():
    address, port, sender, *recipients = sys.argv[1:]
    content = sys.stdin.buffer.read()
    with smtplib.SMTP(address, int(port), timeout=TIMEOUT_S) as session:
        session.ehlo()
        options = ["BODY=8BITMIME"] if session.has_extn("8bitmime") else []
        refused = session.sendmail(sender, recipients, content, mail_options=options)
    if refused:
        sys.exit(f"refused: {refused}")


main()
