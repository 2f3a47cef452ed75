"""Alerts by mail, through the server that the settings name.

No error here holds an address or what the server said, which may hold one.
"""

import hashlib
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from outreach_assets.steps.alerts.channels import (
    CONNECT_SECONDS,
    AlertNotSentError,
    AlertRefusedError,
    Message,
    pauses,
)


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """How to get into the server that takes our mail."""

    host: str
    port: int
    security: str
    """starttls, tls or none."""

    user: str = ""
    password: str = field(default="", repr=False)

    @contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        """Connected, encrypted and logged in. Raises AlertNotSentError or AlertRefusedError."""
        with self._errors():
            context = ssl.create_default_context()
            if self.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=CONNECT_SECONDS, context=context
                )
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=CONNECT_SECONDS)
            try:
                if self.security == "starttls":
                    server.starttls(context=context)
                if self.user:
                    server.login(self.user, self.password)
                yield server
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
                server.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The library's errors as ours; a server's own words may hold an address or a login."""
        place = f"OUTREACH_SMTP_HOST {self.host}:{self.port}"
        try:
            yield
        except smtplib.SMTPAuthenticationError as error:
            kind = AlertRefusedError if error.smtp_code >= 500 else AlertNotSentError
            raise kind(
                f"{place} refused the login ({error.smtp_code}): check OUTREACH_SMTP_USER and "
                "OUTREACH_SMTP_PASSWORD"
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise AlertRefusedError(
                f"{place} offers no such encryption or login: check OUTREACH_SMTP_SECURITY"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            [(code, _)] = error.recipients.values()
            raise self._refused(f"{place} refused the receiver", code) from None
        except smtplib.SMTPResponseException as error:
            raise self._refused(f"{place} refused", error.smtp_code) from None
        except UnicodeError:  # its own words hold what it could not encode
            raise AlertRefusedError(
                f"{place}: OUTREACH_SMTP_USER, OUTREACH_SMTP_PASSWORD and the addresses must be "
                "plain ASCII"
            ) from None
        except ssl.SSLError as error:
            raise AlertNotSentError(
                f"{place}: no encrypted connection ({error.reason}): check OUTREACH_SMTP_SECURITY "
                "and OUTREACH_SMTP_PORT"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            says = getattr(error, "strerror", None) or type(error).__name__
            raise AlertNotSentError(f"{place} cannot be reached: {says}") from None

    @staticmethod
    def _refused(says: str, code: int) -> AlertNotSentError | AlertRefusedError:
        kind = AlertRefusedError if code >= 500 else AlertNotSentError
        return kind(f"{says} ({code})")


@dataclass(frozen=True, kw_only=True)
class Mail:
    """Mail to one address: one that is refused does not keep the others from theirs."""

    server: MailServer
    sender: str
    receiver: str = field(repr=False)
    number: int
    """Which address of OUTREACH_ALERT_EMAIL_TO it is, from 1."""

    @property
    def key(self) -> str:
        """Follows the address, whichever its place in the list; does not show it."""
        return f"mail:{hashlib.sha256(self.receiver.lower().encode()).hexdigest()[:8]}"

    @property
    def name(self) -> str:
        """Its place in the list."""
        return f"mail, address {self.number} of OUTREACH_ALERT_EMAIL_TO"

    def send(self, message: Message) -> None:
        """Give it to the mail server, which then answers for it."""
        mail = self._mail(message)
        for pause in pauses():
            try:
                with self.server.session() as session:
                    session.send_message(mail, self.sender, [self.receiver])
            except AlertNotSentError:
                if pause == 0:
                    raise
                time.sleep(pause)
            else:
                return

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = f"[outreach] {message.title}"
        mail["From"] = self.sender
        mail["To"] = self.receiver
        mail["Date"] = formatdate()
        # The domain is given, or it would ask the network for this machine's name.
        mail["Message-ID"] = make_msgid(domain=self.sender.partition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail
