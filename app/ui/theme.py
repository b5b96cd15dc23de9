"""The look of the chrome: neutral surfaces, one accent, system fonts. Colour belongs to the evidence."""

from __future__ import annotations

import gradio as gr

FONTS = ("Inter", "-apple-system", "BlinkMacSystemFont", "Segoe UI", "Roboto", "Helvetica Neue", "Arial")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "Liberation Mono")


def theme() -> gr.themes.Base:
    """Gradio's theme variables, which `static/style.css` builds on. Names local fonts only."""
    base = gr.themes.Base(
        font=[*FONTS, "sans-serif"],
        font_mono=[*MONO, "monospace"],
        radius_size=gr.themes.sizes.radius_md,
    )
    return base.set(
        body_background_fill="#f6f6f7",
        body_background_fill_dark="#0c0d10",
        body_text_color="#18191c",
        body_text_color_dark="#ececef",
        body_text_color_subdued="#5c6068",
        body_text_color_subdued_dark="#9a9fa9",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#14151a",
        background_fill_secondary="#ebebee",
        background_fill_secondary_dark="#07080a",
        border_color_primary="rgba(16, 18, 24, 0.09)",
        border_color_primary_dark="rgba(236, 238, 246, 0.09)",
        input_background_fill="#ffffff",
        input_background_fill_dark="#191b21",
        button_primary_background_fill="#4a52d6",
        button_primary_background_fill_dark="#6d78ff",
        button_primary_background_fill_hover="#3d45c4",
        button_primary_background_fill_hover_dark="#7f89ff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0a0b12",
        color_accent="#4a52d6",
        error_text_color="#b3261e",
        error_text_color_dark="#ff8f84",
    )
