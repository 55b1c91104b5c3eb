"""The way from pyconnector: each of its names and lines is on the page, what stands for it exists; and every path."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from asyncconn import Tcup
from asyncconn.tcup import Run, Task, Workflow, payload
from asyncconn.tcup.routes import TABLES

PAGE = (Path(__file__).parents[2] / "docs" / "tcup.md").read_text(encoding="utf-8")

#: Every line of pyconnector's introduction; keys and folders are left out.
LINES = (
    "conn = pyconnector.connectors('ConfigFile.conf')",
    "conn = pyconnector.connectors( api_key='...', URL= 'https://in.tcupiot.com' )",
    "sos = conn.SensorObservation()",
    "print(sos.getCount())",
    "print(sos.getCount(responseType = 'table'))",
    """print(sos.getObservation(feature="tf1",sensor="ts1",responseType='dataframe'))""",
    "dls = conn.Datalake()",
    "print(dls.getRelation())",
    "print(dls.getRelation(responseType = 'table'))",
    """print(dls.getFile(fileUri =["user1/dlsadmin/csv/SampleFlightData1/SampleFlightData1.csv"],"""
    "responseType='dataframe'))",
    "srws = conn.srwsUtils()",
    "json = srws.data('ts1',{'obs1':'test_1','obs2':1},'tf1')",
    "print(srws.SendRequestExchange(json))",
    "print(srws.WebSocketPublish(json))",
    """print(srws.webSocketSubTopic("ex1","test"))""",
    "mqtt = conn.mqttUtils()",
    """sub = conn.mqttSubscribe("in.tcupiot.com",8883,"user1@tcup:user1","user1","amq.topic","intcupiotcom.crt")""",
    "def callback(json):",
    "pprint.pprint(json)",
    "sub.main(callback)",
    "json = mqtt.payload('s1',{'obs1':1,'obs2':'test_1'},'f1')",
    """pub = conn.mqttPublish("in.tcupiot.com",8883,"user1@tcup:user1","user1","amq.topic","intcupiotcom.crt")""",
    "pub.main()",
    "pub.disconnect()",
    "myTask = conn.Task(projectName='testProj',jobName='testJob')",
    "print (myTask.deployTask(filename='SampleFile.py', runTime = 'py', overwrite_deployed=True))",
    "myTask.startTask()",
    "dTask = conn.DelayedTask(delayedTime='15-07-2019 12:35:56.789 IST', timeZone = 'IST', "
    "projectName=myTask.projectId, jobName='dTask112')",
    "dTask.deployTask(filename='SampleFile.py',runTime = 'py', overwrite_deployed=True)",
    "dTask.rescheduleTask(delayedTime='16-07-2019 12:35:56.789 IST')",
    "rTask = conn.RecurrentTask(cronPatternType = 'fixed', hour='4', day='6', projectId=myTask.projectId, "
    "jobName='rTask112')",
    "rTask.deployTask(filename='SampleFile.py',runTime = 'py', overwrite_deployed=True)",
    "rTask.rescheduleTask(cronPatternType='Fixed', hour='5', day='7')",
    "print(rTask.getJobByName(jobName = 'rTask112'))",
    "myTask.deleteTask()",
    "myTask.deleteProject()",
    "t1 = conn.Task(projectId='P9909',jobId='T123')",
    "res = t1.deployTask(filename='code1.py', runTime = 'py', input_dir_path='data1.zip')",
    "t2 = conn.Task(projectId='P9909',jobId='T124')",
    "res = t2.deployTask(filename='code2.py', runTime = 'py')",
    "res = t2.externalFileLinking(externalProjectIds=[t1.projectId], externalTaskIds=[t1.jobId], "
    "fileNames = ['out.out'])",
    "wf = conn.Workflow(taskList=[(t1,t2)], processName='procTest1', processVersion='verTest1')",
    "wf_proc = wf.preInitiate()",
    "res = wf_proc.getMapping()",
    "t3 = conn.Task(projectId=t2.projectId,jobId=getJodId(res,t2.jobId))",
    "res = t3.externalFileLinking(externalProjectIds=[t2.projectId], externalTaskIds=[getJodId(res,t1.jobId)], "
    "fileNames = ['out.out'])",
    "wf_proc.status()",
    "wf_proc.initiate()",
    "wf.selectRecoveryMode(True)",
    "wf_proc.recover()",
    "wf_proc.getHistory()",
)

#: Every name of it.
NAMES = (
    "connectors(file)", "connectors(api_key=", "SensorObservation", "getCount", "getObservation", "responseType",
    "Datalake", "getRelation", "getFile(fileUri=", "srwsUtils", "srws.data", "SendRequestExchange", "WebSocketPublish",
    "webSocketSubTopic", "mqttUtils", "mqtt.payload", "mqttSubscribe", "sub.main(callback)", "mqttPublish",
    "pub.main()", "pub.disconnect()", "Task(projectName=", "Task(projectId=", "DelayedTask", "RecurrentTask",
    "projectId", "jobId", "deployTask", "overwrite_deployed", "startTask", "rescheduleTask", "getJobByName",
    "externalFileLinking", "deleteTask", "deleteProject", "Workflow(taskList=", "preInitiate", "selectRecoveryMode",
    "getMapping", "getJodId", "status()", "initiate()", "recover()", "getHistory",
)  # fmt: skip

ROOTS: dict[str, Any] = {"Tcup": Tcup, "payload": payload, "task": Task, "flow": Workflow, "run": Run}

_NAME = re.compile(r"`([A-Za-z_][\w.]*)(?:\(([^`]*)\))?`")


def table(heading: str) -> list[list[str]]:
    """The cells of each row of the table below a heading, without the table's own head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:] if "---" not in line]


def resolve(name: str) -> Any:
    """What a name of ours stands for. Raises ``AttributeError``, and ``KeyError`` for one that begins with no root."""
    first, *rest = name.split(".")
    found: Any = Tcup("http://localhost", "0" * 64) if first == "tcup" else ROOTS[first]
    for one in rest:
        found = getattr(found, one)
    return found


def check(cell: str) -> None:
    """Every name in a cell exists, and takes the arguments it is shown with."""
    named = _NAME.findall(cell)
    assert named, f"{cell!r} names nothing"
    for name, arguments in named:
        found = resolve(name)
        if shown := [one for one in arguments.split(", ") if one]:
            known = set(inspect.signature(found).parameters)
            assert set(shown) <= known, f"{name} takes {sorted(known)}, not {shown}"


@pytest.mark.parametrize("row", table("From pyconnector"), ids=lambda row: row[0].strip("`"))
def test_what_stands_for_it_exists_with_these_arguments(row: list[str]) -> None:
    check(row[1])


@pytest.mark.parametrize("name", NAMES)
def test_each_name_of_pyconnector_is_in_the_table(name: str) -> None:
    assert any(name in row[0] for row in table("From pyconnector"))


@pytest.mark.parametrize("line", LINES)
def test_each_line_of_its_introduction_stands_above_what_is_written_here(line: str) -> None:
    assert re.search(rf"^ {{4,16}}# {re.escape(line)}$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("cell", ["`tcup.nothing()`", "`task.deploy(filename)`", "`Nothing`", "something"])
def test_a_row_that_names_what_is_not_there_is_found(cell: str) -> None:
    with pytest.raises((AssertionError, AttributeError, KeyError)):
        check(cell)


def test_every_call_is_either_known_or_ours() -> None:
    told = [name for row in table("Paths: what is known and what is ours") for name in _calls(row)]

    assert sorted(told) == sorted(name for service in TABLES.values() for name in service.entries)


def _calls(row: list[str]) -> list[str]:
    return [name for cell in row[1:] for name in re.findall(r"`([\w.]+)`", cell)]
