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
    "search": '<circle cx="8.75" cy="8.75" r="5"/><path d="m12.5 12.5 4 4"/>',
    "pin": '<path d="M7.5 3.5h5M8.3 3.5v4.2L5.8 11h8.4l-2.5-3.3V3.5M10 11v5.5"/>',
    "trash": '<path d="M4 5.5h12M8 5.5V4a.8.8 0 0 1 .8-.8h2.4A.8.8 0 0 1 12 4v1.5M5.5 5.5l.7 10a1 1 0 0 0'
    " 1 .9h5.6a1 "
    '1 0 0 0 1-.9l.7-10"/>',
    "download": '<path d="M10 3.5v9M6.5 9 10 12.5 13.5 9M3.5 14v1.5a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1V14"/>',
    "close": '<path d="m5.5 5.5 9 9M14.5 5.5l-9 9"/>',
    "back": '<path d="m11.5 4.5-5.5 5.5 5.5 5.5"/>',
    "swap": '<path d="M4 7.5h11.5M12.5 4.5l3 3-3 3M16 13H4.5M7.5 10l-3 3 3 3"/>',
    "columns": '<rect x="3.5" y="4" width="5.5" height="12" rx="1.2"/><rect x="11" y="4" width="5.5"'
    ' height="12" rx="1.2"/>',
    "differ": '<circle cx="7.7" cy="10" r="4.4"/><circle cx="12.3" cy="10" r="4.4"/>',
    "words": '<path d="M3.5 6h7M3.5 10h4.5M11 10h5.5M3.5 14h9"/><path d="M13 6h3.5" stroke-dasharray="1.6'
    ' 1.6"/>',
    "folder": '<path d="M3.5 15V5.5a1 1 0 0 1 1-1h3.2l1.6 2h6.2a1 1 0 0 1 1 1V15a1 1 0 0 1-1 1h-11a1 1 0'
    ' 0 1-1-1Z"/>',
    "calendar": '<rect x="3.5" y="4.5" width="13" height="12" rx="1.5"/><path d="M3.5 8.5h13M7 3v3M13 3v3"/>',
    "up": '<path d="M7 9.5V16h6.3a1.4 1.4 0 0 0 1.4-1.2l.7-4a1.4 1.4 0 0 0-1.4-1.6H11V5.5A1.5 1.5 0 0 0'
    " 9.5 4L7 9.5ZM7 "
    '9.5H4.5V16H7"/>',
    "share": '<path d="M10 12V3.5M6.8 6.5 10 3.3l3.2 3.2M6 9H5a1 1 0 0 0-1 1v5.5a1 1 0 0 0 1 1h10a1 1 0 0'
    ' 0 1-1V10a1 1 0 0 0-1-1h-1"/>',
    "camera": '<path d="M3.5 7a1 1 0 0 1 1-1h2l1.2-1.8h4.6L13.5 6h2a1 1 0 0 1 1 1v7.5a1 1 0 0 1-1 1h-11a1'
    ' 1 0 0 1-1-1z"/>'
    '<circle cx="10" cy="10.5" r="2.75"/>',
    "link": '<path d="M8.5 11.5a3 3 0 0 0 4.3 0l2.6-2.6a3 3 0 0 0-4.3-4.3l-1 1M11.5 8.5a3 3 0 0 0-4.3'
    " 0l-2.6 2.6a3 3 0 0 0 "
    '4.3 4.3l1-1"/>',
    "again": '<path d="M15.8 8A6.2 6.2 0 1 0 16 11.6M16 4.5V8h-3.5"/>',
    "pencil": '<path d="m4 16 .8-3.3L13 4.5a1.4 1.4 0 0 1 2 0l.5.5a1.4 1.4 0 0 1 0 2L7.3 15.2z"/>',
    "expand": '<path d="M12 3.5h4.5V8M8 16.5H3.5V12M16 4l-4.8 4.8M4 16l4.8-4.8"/>',
    "wipe": '<path d="M10 2.5v15"/><path d="M7 5H4.5a1 1 0 0 0-1 1v8a1 1 0 0 0 1 1H7"/><path d="M13'
    " 5h2.5a1 1 0 0 1 1 1v8a1 1 0"
    ' 0 1-1 1H13" stroke-dasharray="1.6 2"/>',
    "brush": '<path d="M4 6h12M4 10h12M4 14h12"/><circle cx="7" cy="6" r="1.6" fill="currentColor"/>'
    '<circle cx="13" cy="10" r="1.6" fill="currentColor"/><circle cx="9" cy="14" r="1.6"'
    ' fill="currentColor"/>',
    "down": '<path d="M13 10.5V4H6.7a1.4 1.4 0 0 0-1.4 1.2l-.7 4A1.4 1.4 0 0 0 6 10.8H9v3.7a1.5 1.5 0 0 0'
    " 1.5 1.5L13 10.5ZM13 "
    '10.5h2.5V4H13"/>',
    "pause": '<path d="M7 4.5v11M13 4.5v11" stroke-width="2.5"/>',
    "bookmark": '<path d="M6 3.5h8a.8.8 0 0 1 .8.8v12.2L10 13l-4.8 3.5V4.3a.8.8 0 0 1 .8-.8z"/>',
    "help": '<path d="M7.6 7.6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.9M10 14.6v.1"/>',
}


def icon(name: str) -> str:
    """The named icon as an inline SVG that assistive technology skips. Raises `KeyError`."""
    return (
        '<svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" '
        'stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f"{_PATHS[name]}</svg>"
    )
