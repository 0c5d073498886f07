"""Where a person finds the console of a process that was just started."""

from __future__ import annotations

from rich.console import Console

from pipeline.runtime import Runtime


def tell_console(runtime: Runtime, console: Console) -> None:
    """Say where the console is, and give the link that logs in once, where one does.

    A terminal alone is shown the link: a log is kept, and read by others. It also stands in a
    file of mode 600, which is named instead.
    """
    server = runtime.console
    if server is None:
        return
    link = server.login_url
    if link is not None and console.is_terminal:
        console.print(f"[bold]Console[/bold]: {link}", soft_wrap=True, highlight=False)
    elif link is not None:
        said = f"Console: {server.url} (the link in {server.link_file} logs in once)"
        console.print(said, soft_wrap=True, highlight=False, markup=False)
    else:
        console.print(f"Console: {server.url}", soft_wrap=True, highlight=False)
