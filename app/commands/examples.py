"""The end of every `--help`: what people type, by command; the empty name is the program itself."""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "": """\
examples:
  dreamscope                                     the page, with an engine of its own
  dreamscope ask photo.png "How many dogs?"      one answer in the terminal
  dreamscope chat photo.png                      a conversation about it
  dreamscope serve --port 2020                   an API for Moondream's and OpenAI's clients
  dreamscope doctor                              why something does not work""",
    "up": """\
examples:
  dreamscope up --model moondream2
  dreamscope up --no-browser --port 8080
  dreamscope up --host 0.0.0.0 --key our-secret-word
  dreamscope up --engine ws://gpu-box:2020""",
    "web": """\
examples:
  dreamscope web --engine ws://gpu-box:2020
  dreamscope web --data ./lab-history --port 8080""",
    "ask": """\
examples:
  dreamscope ask photo.png "How many dogs are there?"
  dreamscope ask photo.png dog --skill detect --save marked.svg
  dreamscope ask photo.png --skill caption --length short
  dreamscope ask photo.png dog --skill point --json | jq '.points[0]'
  dreamscope ask photo.png "Which animals?" --engine ws://127.0.0.1:2020 --model moondream2""",
    "chat": """\
examples:
  dreamscope chat photo.png
  dreamscope chat photo.png --model moondream2
  dreamscope chat photo.png --engine ws://127.0.0.1:2020
  printf 'How many dogs?\\n/detect dog\\n' | dreamscope chat photo.png

While it runs, a line is a question, or one of:
  /query QUESTION     a question of its own, outside the conversation
  /caption [LENGTH]   short, normal or long
  /point NOUN         also /detect NOUN and /segment NOUN
  /gaze X,Y           where this eye looks, in fractions of the image; /gaze X1,Y1,X2,Y2 for a face
  /model [NAME]       ask another model from now on; without NAME, list them
  /image FILE         go on with another image; the conversation begins anew
  /new                forget what was said
  /help               this list
Ctrl-C stops an answer, Ctrl-D ends.""",
    "history": """\
examples:
  dreamscope history                             the latest runs
  dreamscope history search dog fence            runs whose texts have both words
  dreamscope history list --skill detect --since 2026-03-01 --json
  dreamscope history show 3b1085ac               one run, by the beginning of its id
  dreamscope history export 3b1085ac places.csv
  dreamscope history delete 3b1085ac             for ten minutes `history restore` brings it back""",
    "audit": """\
examples:
  dreamscope audit 3b1085ac
  dreamscope audit exported-run.dreamscope --json""",
    "doctor": """\
examples:
  dreamscope doctor
  dreamscope doctor --model moondream2 --device cuda
  dreamscope doctor --json | jq '.[] | select(.state != "ok")'""",
}
