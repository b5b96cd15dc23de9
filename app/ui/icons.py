"""Line icons of the page, 20 units, drawn with the current text colour."""

from __future__ import annotations

_PATHS = {
    "mark": '<circle cx="10" cy="10" r="7.25"/><path d="M4.2 13.6c3.4-.3 6.2 1 7.6 3.5"/>'
    '<circle cx="12.4" cy="8" r="2.1" fill="currentColor" stroke="none"/>',
    "open": '<path d="M3.5 13.5v2a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1v-2M10 12.5v-9M6.5 6.5 10 3l3.5 3.5"/>',
    "plus": '<path d="M10 4.5v11M4.5 10h11"/>',
    "minus": '<path d="M4.5 10h11"/>',
    "fit": '<path d="M3.5 7.5v-3a1 1 0 0 1 1-1h3M12.5 3.5h3a1 1 0 0 1 1 1v3M16.5 12.5v3a1 1 0 0 1-1 1h-3'
    'M7.5 16.5h-3a1 1 0 0 1-1-1v-3"/>',
    "eye": '<path d="M2.5 10S5 5 10 5s7.5 5 7.5 5-2.5 5-7.5 5-7.5-5-7.5-5Z"/>'
    '<circle cx="10" cy="10" r="2.25"/>',
    "theme": '<circle cx="10" cy="10" r="6.75"/>'
    '<path d="M10 3.25a6.75 6.75 0 0 1 0 13.5z" fill="currentColor" stroke="none"/>',
    "sliders": '<path d="M3 6.5h8M15 6.5h2M3 13.5h2M9 13.5h8"/><circle cx="13" cy="6.5" r="2"/>'
    '<circle cx="7" cy="13.5" r="2"/>',
    "play": '<path d="M6.5 4.3v11.4l9-5.7z" fill="currentColor" stroke-linejoin="round"/>',
    "stop": '<rect x="5.5" y="5.5" width="9" height="9" rx="1.5" fill="currentColor" stroke="none"/>',
    "chevron": '<path d="m7.5 5 5 5-5 5"/>',
    "copy": '<rect x="7" y="7" width="9.5" height="9.5" rx="1.8"/>'
    '<path d="M13 4.8V4.5a1 1 0 0 0-1-1H4.5a1 1 0 0 0-1 1V12a1 1 0 0 0 1 1h.3"/>',
    "hand": '<path d="M6.5 10.5V5a1.2 1.2 0 0 1 2.4 0v4M8.9 9V3.9a1.2 1.2 0 0 1 2.4 0V9'
    "M11.3 9V5a1.2 1.2 0 0 1 2.4 0v6.5c0 3.2-1.7 5-4.4 5-2 0-3.1-.9-4-2.6l-1.7-3.2"
    'c-.3-.7 0-1.3.5-1.5.6-.2 1.1 0 1.5.6l.9 1.4"/>',
    "place": '<circle cx="10" cy="10" r="3"/><path d="M10 3v3M10 14v3M3 10h3M14 10h3"/>',
    "frame": '<path d="M4 7.5V5a1 1 0 0 1 1-1h2.5M12.5 4H15a1 1 0 0 1 1 1v2.5M16 12.5V15a1 1 0 0 1-1 1h-2.5'
    'M7.5 16H5a1 1 0 0 1-1-1v-2.5"/>',
    "spread": '<circle cx="10" cy="10" r="1.6" fill="currentColor" stroke="none"/>'
    '<ellipse cx="10" cy="10" rx="4.2" ry="3.2"/>'
    '<ellipse cx="10" cy="10" rx="7.5" ry="5.8" stroke-dasharray="1.5 2"/>',
    "tint": '<path d="M4 5.5h12M4 10h7M4 14.5h9"/><path d="M14 10h2" stroke-opacity="0.4"/>',
    "help": '<path d="M7.6 7.6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.9M10 14.6v.1"/>',
}


def icon(name: str) -> str:
    """The named icon as an inline SVG that assistive technology skips. Raises `KeyError`."""
    return (
        '<svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" '
        'stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f"{_PATHS[name]}</svg>"
    )
