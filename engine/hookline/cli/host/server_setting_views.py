"""The settings of a server as its API shows them."""

from hookline.secrets.masking import mask_log_fields
from hookline.server_settings import PREFIX, Settings
from hookline.service.admin.system.server_settings import ServerSettingView


def server_setting_views(settings: Settings) -> list[ServerSettingView]:
    """All settings in their order, each with its source. Secrets, and passwords in URLs, are masked."""
    values = mask_log_fields(None, "", settings.model_dump(mode="json"))
    defaults = Settings().model_dump(mode="json")
    return [
        ServerSettingView(
            name,
            f"{PREFIX}{name.upper()}",
            values[name],
            defaults[name],
            settings.source(name),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
