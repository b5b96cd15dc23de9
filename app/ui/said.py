"""What the shell and the playground say beyond the states of engine and runs, which are in `app/words.py`."""

from __future__ import annotations

ASSURANCE = "Images and answers stay on the machine that runs Dreamscope, unless you choose a remote model."
LINK_HELP = (
    "Your browser fetches it, this server does not. It has to be an image, and its site has to allow other "
    "pages to read it; many do not. Then save the image and open the file."
)
TAGS_HELP = "Separated by commas. The history finds runs by them."
TRUTH_HELP = (
    "Mark what is really there: click in the image for a point, drag for a box, or open a JSON or COCO file. "
    "Then every place of this run is a hit or hits nothing, and what it missed is shown."
)
SHARING = (
    "A link shows this to everybody who has it and can reach this server: the image, what was asked and "
    "answered, and how it came. It cannot be guessed, and you can take it back."
)
PRIVACY = (
    "Images, questions and answers are kept in a history on the machine that runs Dreamscope, so that you "
    "find them again. Nothing is sent anywhere else: no telemetry, no fonts or scripts from other servers. "
    "The only downloads are models that you choose. A remote model, if you choose one, gets the "
    "image and the question.",
    "Images are stored without what cameras write into them, such as the place and the time.",
    "This browser remembers how you like the page: colours, sizes, model, light or dark, and your presets.",
    "A link that you share shows one run or comparison, until you revoke it or it expires. Images that you "
    "open by their address are fetched by your browser, and that site sees the request.",
)
NOT_RETAINED = (
    "Nothing is kept: this Dreamscope runs with --no-retention. Images, questions, answers and shared "
    "links lie in a temporary folder while a page is open and are deleted a minute after the last one is "
    "closed. The engine that it has started forgets each run when it ends, and none of this is in its "
    "log. Nothing is sent anywhere else: no telemetry, no fonts or scripts from other servers. A remote "
    "model, if you choose one, gets the image and the question."
)
KEPT_BRIEFLY = "Here until the last page is closed: {runs}, {images}, {size}."
PRIVACY_SURE = (
    "All runs, images, comparisons, notes and shared links are deleted for good, and what this browser "
    "remembers as well."
)
PRIVACY_SAID = {
    "kept": "Kept now: {runs}, {images}, {size}, in {folder}.",
    "kept_nowhere": "Kept now, until Dreamscope ends: {runs}, {images}, {size}.",
    "runs": {"none": "no runs", "one": "1 run", "many": "{n} runs"},
    "images": {"none": "no images", "one": "1 image", "many": "{n} images"},
    "deleted": "Everything is deleted.",
}
SHARE_SAID = {
    "copied": "The link is copied.",
    "not_copied": "The link is made; copy it from the list.",
    "revoked": "The link is revoked. Nobody can open it any more.",
    "until": "Until {when}",
    "forever": "Until it is revoked",
    "copy": "Copy",
    "revoke": "Revoke",
    "open": "Open",
    "link": "Shared link {n}",
    "none": "Nothing is shared yet.",
}
LABELS_OF_MARKS = {
    "colour": "Colour of {label}",
    "show": "Show {label}",
    "hide": "Hide {label}",
    "shown": "Show marks of {label}",
    "reset": "Back to the own colour of {label}",
}
DOWNLOAD_SAID = {
    "title": "Download {name}?",
    "size": "It is not on this machine yet. About {size} are fetched from Hugging Face, once.",
    "unknown": "It is not on this machine yet and is fetched from Hugging Face, once.",
}
UNCERTAINTY = (
    "Soft ellipses and whiskers show where the model wavers: of a hundred bets, 68 fall within the inner "
    "one, and 95 within the outer."
)
PLAYGROUND = {
    "asked": {
        "short": "A short caption",
        "normal": "A caption",
        "long": "A long caption",
        "gaze": "Where the gaze goes",
    },
    "seed": "Seed of this run: {seed}",
    "skills": {"needs": "{skill} needs {name}.", "switch": "Switch to {name}"},
    "objects": {
        "on": "Look for {name}",
        "remove": "Remove {name}",
        "more": "Another object",
        "most": "Up to {most} objects can be looked for at once.",
        "twice": "{name} is named already.",
    },
    "presets": {
        "own": "Yours",
        "delete": "Delete {name}",
        "nameless": "Give it a name.",
        "most": "Up to {most} presets can be kept. Delete one first.",
        "saved": "{name} is saved.",
        "deleted": "{name} is deleted.",
    },
    "truth": {
        "layer": "Truth on the image",
        "nothing": "Place what is there first, in the image or by the buttons.",
        "not_json": "This file is not JSON: {reason}.",
    },
    "parts": "{done} of {count} done",
    "run_gone": "This run is not in the history any more.",
    "image_gone": "The image of this run is not kept any more.",
    "copied": "Copied.",
    "not_copied": "The browser does not allow copying. Select the text and copy it.",
    "saved": "Saved.",
    "camera": {
        "ask": "The browser asks whether this page may use the camera.",
        "on": "The camera is on. Only the still that you take is used; it is not shown to anybody.",
        "refused": "The browser does not allow the camera. Allow it beside the address and open this again.",
        "none": "No camera was found.",
        "insecure": "Browsers give the camera only to pages on this machine or over HTTPS.",
        "nth": "Camera {n}",
        "still": "Picture from the camera",
    },
    "link": {
        "empty": "Give the address of an image, starting with https:// or http://.",
        "blocked": "The browser could not read this address: it does not answer, or its site does not allow "
        "other pages to read its images. Save the image and open the file.",
        "not_found": "The site answered {status} instead of an image.",
        "no_image": "What is at this address is not an image: {type}.",
    },
}
