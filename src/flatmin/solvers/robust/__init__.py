"""Low rank beside gross errors."""

__all__: list[str] = []
