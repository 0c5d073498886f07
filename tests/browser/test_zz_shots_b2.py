import sys
from pathlib import Path
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import math, random
import pytest
from tests.browser.conftest import *
from tests.browser.rig import ConsoleRig
from tests.support import watchlists
from pipeline.archive import PassageArchive
from pipeline.rollup import FIGURES_FILE, CountedAlert, Rollup
from playwright.sync_api import expect
def test_shots(rig, look):
    now=datetime.now(UTC)
    rnd=random.Random(1)
    with closing(PassageArchive(rig.folder/"passages.sqlite")) as a:
        ps=[]
        for h in range(48):
            for c,base in (("入口东",30),("入口西",18),("出口",22)):
                n=int(base*(1.2+math.sin((now-timedelta(hours=h)).hour/24*6.28)))
                for k in range(n):
                    miss=rnd.random()<0.06; nop=rnd.random()<0.04
                    ps.append(replace(watchlists.passage(None if miss or nop else "辽A12345",passage_id=f"{c}{h}-{k}",closed=True),camera=c,ended_at=now-timedelta(hours=h,minutes=1),reads=0 if nop else 5,evidence=None))
        a.keep(ps)
    with closing(Rollup(rig.folder/FIGURES_FILE)) as r:
        r.note(CountedAlert(str(n),rig.settings.checkpoint,"入口东",now-timedelta(hours=n*0.7,minutes=1),"exact","stolen",rnd.choice(["confirmed"]*6+["rejected"]*2+["unverified"]*2),late=False,retracted=False,latency_s=0.4+rnd.random()**3*2) for n in range(60))
    rig.watchlist.add([watchlists.entry(p,now,category=c,priority=pr,requester="王",plate_class=k) for p,c,pr,k in [("辽A12345","stolen",1,"blue"),("京AD12345","wanted",1,"green_small"),("辽B?23??","cloned_plate",2,None),("沪B88888","missing_person",3,"blue"),("鲁A12345学","other",4,"coach")] if True and not p.endswith("学")])
    out=Path("/tmp/B2/shots"); out.mkdir(exist_ok=True)
    for lang,theme,size in (("zh","dark",(1366,768)),("en","light",(1366,768)),("zh","dark",(3840,2160)),("en","light",(820,1180))):
        page=look("李审批",lang=lang,theme=theme,size=size)
        for name,sel in (("figures","[data-plot] canvas"),("watchlist","tr[data-entry]")):
            page.click(f'a[href="#/{name}"]'); expect(page.locator(sel).first).to_be_visible(); page.wait_for_timeout(600)
            page.screenshot(path=out/f"{name}-{lang}-{theme}-{size[0]}.png")
        page.locator("tr[data-entry] button").first.click(); page.wait_for_timeout(500)
        page.screenshot(path=out/f"entry-{lang}-{theme}-{size[0]}.png")
        page.keyboard.press("Escape"); page.keyboard.press("a"); page.wait_for_timeout(300)
        page.fill("#entry-plate","辽A12345"); page.click("dialog[open] .button--primary"); page.wait_for_timeout(800)
        page.screenshot(path=out/f"form-{lang}-{theme}-{size[0]}.png")
