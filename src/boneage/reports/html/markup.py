"""What the pages of the report share: self-contained, printable, no script."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Final

_STYLE: Final = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dde3e8; --paper: #ffffff; --ground: #f3f5f7; --accent: #17527a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 20px; }
a { color: var(--accent); }
h1 { font-size: 21px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 10px; }
.quiet { color: var(--soft); font-size: 13px; }
.notice { border-left: 4px solid #c77700; background: #fff7e8; padding: 9px 14px; margin: 14px 0 18px;
  font-size: 13.5px;  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.warn { border-left-color: #b3261e; background: #fdeeed; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin: 0 0 18px; break-inside: avoid; }
.two { display: grid; grid-template-columns: minmax(300px, 5fr) 7fr; gap: 18px; align-items: start; }
.film { background: #0b0e11; border-radius: 8px; padding: 12px; margin: 0 0 18px; break-inside: avoid;
  text-align: center; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.film svg { max-width: 100%; max-height: 640px; height: auto; display: block; margin: 0 auto; }
.key { color: #d5dde4; font-size: 12.5px; margin-top: 9px; text-align: left;
  display: flex; flex-wrap: wrap; gap: 3px 16px; }
.key i { display: inline-block; width: 12px; height: 12px; border: 2.5px solid; margin-right: 6px;
  vertical-align: -1px; }
.age { font-size: 38px; font-weight: 650; letter-spacing: -.5px; line-height: 1.15; }
.sexes .age { font-size: 30px; } .sexes .age small { display: block; }
.age small { font-size: 16px; font-weight: 400; color: var(--soft); letter-spacing: 0; }
.sexes { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; } .sexes > div { min-width: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 12px 0 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; }
figure { margin: 0; } figure img { width: 100%; max-height: 300px; object-fit: contain; background: #0b0e11;
  border-radius: 5px; display: block; }
figcaption { font-size: 12.5px; color: var(--soft); margin-top: 5px; }
svg text { font: 11.5px -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 550; font-size: 12.5px; border-bottom: 2px solid var(--line);
  padding: 5px 12px 5px 0; }
td { border-bottom: 1px solid var(--line); padding: 7px 12px 7px 0; vertical-align: middle; overflow-wrap: anywhere; }
td a { display: inline-block; min-width: 18ch; }
td img { display: block; max-width: 56px; max-height: 64px; border-radius: 3px; }
tr { break-inside: avoid; }
.pill { font-size: 12px; padding: 1px 8px; border-radius: 9px; background: #fdeeed; color: #8c1d18; }
.opinions { display: flex; flex-wrap: wrap; gap: 8px 40px; margin: 0 0 8px; }
.closest { display: grid; align-items: start; grid-template-columns: repeat(auto-fit, minmax(205px, 1fr));
  gap: 10px 30px; margin: 6px 0 12px; }
.closest table { font-size: 13px; } .closest td { padding: 3px 10px 3px 0; }
.closest td:first-child { width: 35%; min-width: 5em; } .closest th { white-space: nowrap; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
footer { color: var(--soft); font-size: 12.5px; border-top: 1px solid var(--line); margin-top: 8px; padding-top: 12px; }
@media (max-width: 760px) { .two { grid-template-columns: 1fr; } }
@media print { body { background: #fff; font-size: 12px; } main { padding: 0; max-width: none; } nav { display: none; }
  .card, .film { margin-bottom: 10px; } .film svg { max-height: 420px; } .two { grid-template-columns: 5fr 7fr; }
  figure img { max-height: 190px; } @page { margin: 14mm; } }
"""


def page_of(title: str, body: str, notice: str) -> str:
    """A whole page: head, body, and the notice at its end."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="boneage">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>{body}\n"
        f"<footer>{escape(notice)}</footer></main></body></html>\n"
    )


def notice_box(notice: str) -> str:
    """The notice, where nobody overlooks it."""
    return f'<div class="notice"><strong>{escape(notice)}</strong></div>'


def picture(source: str, caption: str, more: str = "") -> str:
    """A picture with its caption; `more` is HTML."""
    text = escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}{more}</figcaption></figure>'


def data_url(image: bytes, kind: str) -> str:
    """A picture as an address that needs no file."""
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
