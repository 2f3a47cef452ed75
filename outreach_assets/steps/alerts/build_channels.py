"""Settings in, channels out: the only place that knows which ways to reach people there are."""

from outreach_assets.steps.alerts.channels import Channel
from outreach_assets.steps.alerts.mail import Mail, MailServer
from outreach_assets.steps.alerts.webhook import Webhook
from outreach_core.alert_settings import SMTP_PORTS, split_addresses
from outreach_core.settings import Settings


def build_channels(settings: Settings) -> list[Channel]:
    """Every channel that the settings name; none while alerts are off."""
    url, password = settings.outreach_alert_webhook_url, settings.outreach_smtp_password
    return open_channels(
        webhook_url=url.get_secret_value() if url else "",
        email_to=settings.outreach_alert_email_to or "",
        email_from=settings.outreach_alert_email_from or "",
        server=mail_server(
            host=settings.outreach_smtp_host or "",
            port=settings.outreach_smtp_port,
            security=settings.outreach_smtp_security,
            user=settings.outreach_smtp_user or "",
            password=password.get_secret_value() if password else "",
        ),
    )


def mail_server(
    *, host: str, port: int | None, security: str, user: str, password: str
) -> MailServer:
    """The server; at its security's own port when none is named."""
    return MailServer(
        host=host,
        port=port or SMTP_PORTS[security],
        security=security,
        user=user,
        password=password,
    )


def open_channels(
    *, webhook_url: str, email_to: str, email_from: str, server: MailServer
) -> list[Channel]:
    """The webhook where there is one, and mail to each address by itself. Opens no connection."""
    webhooks: list[Channel] = [Webhook(url=webhook_url)] if webhook_url else []
    receivers = split_addresses(email_to) if email_to else ()
    mails = [
        Mail(server=server, sender=email_from, receiver=receiver, number=number)
        for number, receiver in enumerate(receivers, start=1)
    ]
    return [*webhooks, *mails]
