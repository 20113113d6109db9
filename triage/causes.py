"""What kind of failure it is, and what to try first: for a person at three in the morning.

Owns the classes and the words that tell them apart. A class is a judgement for people and never part of a fingerprint
where the log itself speaks. Must not name what one customer's logs hold; every word here is one that the software which
prints it documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Cause:
    """One class of failure: its name, what it means in a sentence, the first things to try."""

    name: str
    summary: str
    steps: tuple[str, ...]


def _cause(name: str, summary: str, *steps: str) -> tuple[str, Cause]:
    return name, Cause(name, summary, steps)


CAUSES: dict[str, Cause] = dict(
    (
        _cause("code error", "The task's own code raised an error.",
               "Open the last frame of your own code named in the title.", "Compare with the last deploy of this DAG: what changed there?",
               "Run the function by itself with the same input."),
        _cause("missing module", "Python could not import a module or a name from it.",
               "Check that the package is installed in the image the worker runs, in the version the code expects.",
               "If it is your own module, check that it is on PYTHONPATH and deployed together with the DAG."),
        _cause("missing file or table", "A file, folder, object, table or view that the task reads is not there.",
               "Did the task that makes it run, and for the same date?", "Check spelling, bucket or schema, and the worker's own file system.",
               "If it comes from a partner, ask whether the delivery is late, and put a sensor before this task."),
        _cause("missing command", "The shell did not find a program.",
               "Install it in the image the worker runs, or call it by its full path.", "Check PATH in the task's environment."),
        _cause("schema", "The data or a database does not have the columns, types or statement the code expects.",
               "Compare the table's columns with the statement in the evidence.", "Look for a migration or a change at the source since the last success."),
        _cause("data quality", "A check of the data failed, or a value could not be read.",
               "Look at the rows of this run that the check names.", "Decide: repair the source, or quarantine the rows and clear the task."),
        _cause("permission", "The account is known, but may not do this.",
               "Find the account in the connection, and the right that is named in the evidence.", "Did a role, policy or bucket rule change since the last success?"),
        _cause("credentials", "A login, token or key is wrong, missing or expired.",
               "Renew the secret in the Airflow connection or the secrets backend.", "Test it from the worker's own machine with the same account."),
        _cause("DNS", "A host name did not resolve.",
               "Check the spelling of the host in the connection.", "Resolve it from the worker (getent hosts NAME); look at the cluster's DNS."),
        _cause("connection refused", "Nothing listens at the address, or the connection was cut.",
               "Is the service up? Look at its own health page or restart time.", "Check host and port in the connection, and the network rules between worker and service."),
        _cause("TLS", "The secure connection could not be made.",
               "Look at the certificate's end date and its issuer.", "Check the worker's certificate bundle, and proxies in between."),
        _cause("service time-out", "A service did not answer in time.",
               "Look at the load of the service at this time.", "If it is only slow, raise the client's time-out or let the task retry with a delay."),
        _cause("rate limit", "A service asks to call it less often, or a quota is used up.",
               "Lower the parallelism with a pool for this service.", "Retry with exponential back-off; ask the provider for a higher quota."),
        _cause("service error", "A service answered with an error of its own (5xx).",
               "Look at the provider's status page.", "Clear the task when it is back; give it retries with a delay."),
        _cause("bad request", "A service refused the request itself (4xx).",
               "Read the answer's text in the evidence: it names the field.", "Compare the request with the API's version."),
        _cause("lock", "Two transactions stood in each other's way.",
               "See which other task writes the same table at this time.", "Retry; then order the writers, or make the transactions shorter."),
        _cause("database", "A database refused a statement or the session.",
               "Run the statement in the evidence by hand with the same account.", "Look at the database's own log at this time."),
        _cause("disk full", "No space is left where the task writes.",
               "Free space on the worker (old logs, /tmp) or give it a larger volume.", "Find which run writes so much."),
        _cause("out of memory", "The process needed more memory than it may have.",
               "Look at the memory graph of the worker or pod at this time.", "Read in chunks, or give the task a larger limit.", "Run fewer such tasks at once (pool)."),
        _cause("killed from outside", "Something ended the process: the kernel for want of memory, an operator, Airflow itself, a node that went away, a deploy.",
               "After SIGKILL look at memory first: the memory graph of the worker or pod at this time; the kernel's log (dmesg) or the pod's status (OOMKilled) says so.",
               "After SIGTERM look at who stops things: a deploy, a node drained or taken back, a worker scaled down, a person who cleared or marked the task.",
               "See whether other tasks of the same host ended at the same moment."),
        _cause("native crash", "The program ended itself in native code: a segmentation fault, an abort, an illegal instruction.",
               "Look which library was loaded last, and which changed its version since the last success.",
               "Run it with python -X faulthandler, or get a core dump; check that the image fits the machine's processor."),
        _cause("execution time-out", "The task ran longer than its execution_timeout.",
               "Compare with the duration of earlier runs: slower day by day, or sudden?", "Find what it waited for at the end of the log.", "Raise execution_timeout only if the work has really grown."),
        _cause("sensor time-out", "What the sensor waits for did not come in time.",
               "Look whether the file, partition or run it waits for exists now.", "Ask the producer; clear the sensor once it is there."),
        _cause("heartbeat lost", "The worker stopped reporting, so the scheduler ended the try: it died with its host or pod, hung, or lost the API.",
               "Look at the host's health (memory, disk, restarts) at this time: was the node taken back, the pod evicted, the worker killed?",
               "See whether other tasks of the same host failed within minutes: then it is the host, else this task.",
               "If the host is well, look whether the task blocks its whole process (a long C call, a stopped process), or the API server was overloaded."),
        _cause("state mismatch", "The executor says that the try is over, and its process never told Airflow so.",
               "Look at the executor's and the worker's own log for this try: was the worker restarted, or did its process fail to start?",
               "If Airflow still had it queued, the worker could not start it: look at the image, the DAG file on the worker, and its memory.",
               "If it happens often, look at the load of scheduler, API server and database."),
        _cause("queued too long", "The executor never started it: it waited in the queue longer than [scheduler] task_queued_timeout, and was put back too often.",
               "Are the workers up, and do they listen to the queue that this task names?",
               "Look for workers that are all busy, pods that stay Pending (quota, node space), or a broker that lost messages.",
               "If it only waits for its turn, add workers or raise task_queued_timeout."),
        _cause("stopped by fail_fast", "Another task of the run failed, and the DAG's fail_fast ended this one.",
               "Look at the task of the same run that failed first: its problem is the cause.", "Clear the whole run once that one is repaired."),
        _cause("DAG import", "The worker could not load the DAG file.",
               "Open Airflow's import errors: if the file imports there, the worker differs from the DAG processor.",
               "Check that the same code, packages and variables are on the worker as on the DAG processor."),
        _cause("DAG missing", "The worker read the DAG's file and did not find the DAG or task in it, or found no file.",
               "Was the file deleted, renamed or rolled back while the run was under way?",
               "Check that the worker has the newest files: volume, git-sync, image or bundle version.",
               "If the DAG is made by code, check that the code makes the same DAGs on the worker (its environment, variables, time)."),
        _cause("template", "A template of the task could not be rendered.",
               "Look at the rendered template in Airflow's page.", "Check the variable or macro named in the title."),
        _cause("variable or connection missing", "An Airflow variable or connection does not exist here.",
               "Create it in this deployment, or fix its name in the code.", "Check the secrets backend that should serve it."),
        _cause("missing XCom", "What another task should have handed over is not there.",
               "Did the upstream task run and return a value in this run?", "Check the task ids and map indexes in xcom_pull."),
        _cause("pod not started", "Kubernetes could not start, or took away, the pod.",
               "kubectl describe pod: read the events.", "Check the image's name and pull secret, quotas and node space."),
        _cause("file exists already", "What should be made is there already: a file, folder, table or other object.",
               "Did an earlier try leave it behind? Let the task replace it, or clean up first.", "See whether two runs write to the same place."),
        _cause("wrong call", "A program was called with arguments, or in a folder or state, that it does not accept.",
               "Compare the command in the log with the program's own --help, in the version that the image holds.", "Look what the template put into the command."),
        _cause("failed on purpose", "The task's own code decided to fail for good (AirflowFailException).",
               "Read the words in the title: the author of the DAG wrote them for this case."),
        _cause("syntax", "A script, query or configuration is not well formed.",
               "Open the line named in the title.", "Look at what the template put into it."),
        _cause("exit code", "A program ended with an exit code and no words that say why.",
               "Read the last lines of its output in the log.", "Make the script speak: set -euo pipefail, and write errors to stderr."),
        _cause("upstream failed", "Another task of the run failed first.", "Look at the root task's problem."),
        _cause("marked by hand", "A person, or a program with an account, set this try to failed.",
               "Ask the account that is named here why.", "If nobody did, look in Airflow's audit log for what else that account did."),
        _cause("log storage away", "The storage that keeps Airflow's logs did not answer Airflow, or refused it; the log may still be there.",
               "Open the log in Airflow's page: if it fails there too, look at the storage (bucket, cluster) and the rights of the API server's account.",
               "Nothing is lost yet: airtriage asks again, for a day, and replaces this by the cause once the log can be read."),
        _cause("log worker gone", "The log lay on a worker that no longer answers, and no storage has a copy.",
               "Did the worker die with the task? Look at the host's or pod's events at this time: that may be the cause itself.",
               "So that it does not happen again, let Airflow upload logs ([logging] remote_logging), or keep them on a shared volume.",
               "If the worker is up, check that the API server reaches its log server (port 8793, network rules)."),
        _cause("log server refuses", "The worker's log server refused the API server, so the log may be there and cannot be read.",
               "Give all components the same secret key ([api] secret_key, before 3.0 [webserver] secret_key).", "Synchronise the clocks of all hosts (ntpd, chrony)."),
        _cause("log rotated away", "Where the log should be, it is no more: a clean-up removed it, or it was never written or uploaded there.",
               "Look how long logs are kept (log clean-up job, bucket rule, index lifecycle) and keep them longer than it takes to look.",
               "If it is a fresh failure, look why it was not written: the worker died before the upload, or the disk was full.",
               "With Elasticsearch or OpenSearch the same words come while the cluster is away: look at its health."),
        _cause("never started", "No worker took the try, so there never was a log.",
               "Look in the scheduler's log at this time for this task: it says why it ended the try.",
               "Look at the executor: no free worker, a queue nobody listens to, a pod that was never made."),
        _cause("try not known", "Airflow does not know this try any more, or cannot be asked for it, so its log cannot be found through it.",
               "Was the run or the DAG deleted, or old runs cleaned up (airflow db clean)?",
               "The file may still lie in the log folder or bucket, under dag_id, run_id, task_id and attempt.",
               "A run id with a slash in it cannot be asked for through the API."),
        _cause("no usable log", "The try failed, and neither its log nor Airflow's events say why.",
               "Look at Airflow's events of this try, and at the host it ran on.", "If logs are often missing, check remote logging and the worker's log server."),
        _cause("unknown", "The log says something that airtriage does not know yet.", "Read the evidence.", "Put the log, redacted, into a bug report, so that it gets a name."),
    )
)  # fmt: skip


def _lowered(pattern: str) -> str:
    """Return the pattern for text in lower case, which is searched three times as fast as with re.I."""
    return re.sub(r"\\.|[A-Z]", lambda found: found[0] if found[0][0] == "\\" else found[0].lower(), pattern)


# In order: the first that matches "Type: message" decides. Kinds of exception are matched by the beginning.
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(_lowered(pattern)))
    for name, pattern in (
        ("sensor time-out", r"^AirflowSensorTimeout|sensor has timed out"),
        ("execution time-out", r"^AirflowTaskTimeout|process timed out|^TaskDeferralTimeout|trigger timeout"),
        ("template", r"^(?:Undefined|Template\w*|SecurityError)(?:Error|NotFound|sNotFound)?:|jinja|^TemplateSyntaxError"),
        ("data quality", r"^(?:AirflowException: )?(?:column )?test failed\.|^(?:FAILED|ERROR) \S+\.py::"),
        ("variable or connection missing", r"VARIABLE_NOT_FOUND|CONNECTION_NOT_FOUND|could not find profile named|conn_id .{1,100} isn't defined|variable .{1,80} does not exist|connection .{1,80} (?:not found|is not defined)"),
        ("missing XCom", r"XCOM_NOT_FOUND|^XComNotFound"),
        ("DAG missing", r"(?:dag|task) not found (?:in dag )?during start"),
        ("DAG import", r"failed to import|dag .{1,100} could not be found"),
        ("out of memory", r"^MemoryError|out ?of ?memory|OutOfMemoryError|OOMKilled|cannot allocate memory|MemoryError\b|heap space|heap out of memory|GC overhead"),
        ("disk full", r"no space left on device|disk (?:is )?full|Errno 28\b|disk quota exceeded|could not extend file"),
        ("pod not started", r"ImagePull|ErrImage|evicted|low on resource|unschedulable|pod .{0,80}(?:took too long|launch)|preempt|CrashLoop|CreateContainer"),
        ("native crash", r"SIG(?:SEGV|ABRT|BUS|FPE|ILL)\b|segmentation fault|\bcore dumped|exit code 1(?:3[2456]|39)\b"),
        ("killed from outside", r"SIGKILL|SIGTERM|^Killed|externally (?:set|terminated)|signal -?(?:9|15)\b|exit code (?:137|143)\b"),
        ("missing module", r"^ModuleNotFoundError|^ImportError|no module named|no matching distribution found|version that satisfies the requirement|can't locate \S{1,200} in @inc|cannot find (?:module|package)|ClassNotFoundException|NoClassDefFound|there is no package called"),
        ("missing command", r"command not found|executable file not found|\bexit code 127"),
        ("rate limit", r"\b429\b|too many requests|rate.?limit|throttl|SlowDown|quota exceeded|exceeded.{0,40}quota|RESOURCE_EXHAUSTED|resource exhausted"),
        ("TLS", r"^SSL|ssl(?:error|\b.{0,30}(?:error|fail|verif))|certificate|TLS|\bhandshake"),
        ("DNS", r"could not (?:resolve|translate) host|unable to resolve host|name or service not known|nodename nor servname|temporary failure in name resolution|getaddrinfo|UnknownHost|unknown host|\bDNS\b|NameResolutionError|no such host|EAI_AGAIN|\bENOTFOUND"),
        ("credentials", r"authentication failed|\b401\b|unauthori[sz]ed|NoCredentials|locate credentials|invalid (?:credentials|api key|token|username)|expired ?token|token (?:has |is )?expired|InvalidAccessKeyId|SignatureDoesNotMatch|access denied for user|login failed|credentials.{0,40}(?:not found|expired|invalid)|DefaultCredentialsError|RefreshError|NOAUTH|WRONGPASS|Permission denied \(publickey"),
        ("permission", r"^PermissionError|permission denied|\b403\b|forbidden|access ?denied|not authorized|insufficient (?:privilege|permission)|must be owner|Operation not permitted|read-only file"),
        ("lock", r"deadlock|lock (?:wait )?time-?out|could not obtain lock|database is locked|could not serialize|LockNotAvailable|SerializationFailure|concurrent update|acquiring the state lock"),
        ("connection refused", r"connection refused|connection .{1,200} was refused|cannot connect to|connect call failed|connection attempt failed|ConnectionRefused|ConnectionReset|connection (?:was |is )?(?:reset|aborted|closed)|failed to connect|couldn't connect|could not connect|ECONNREFUSED|ECONNRESET|NoBrokersAvailable|Errno 111|Error 111|broken pipe|BrokenPipe|remote end closed|server closed the connection|no route to host|network is unreachable|Max retries exceeded|EndpointConnectionError|NewConnectionError|ServiceUnavailable|^KafkaTimeout|connection lost|host unreachable|^Connection(?:Aborted)?Error"),
        ("service time-out", r"timed? ?out|TimeoutError|deadline exceeded|ReadTimeout|ETIMEDOUT|gateway time|\b504\b|\b408\b"),
        ("service error", r"\b50[0-35-9]\b|internal server error|bad gateway|service unavailable|InternalError\b|server error"),
        ("schema", r"column [\"'`\w.]{1,160}(?: of relation [\"'`\w.]{1,160})? does not exist|missing data for column|extra data after last expected column|\] not in index|are in the \[(?:columns|index)|not found in axis|usecols do not match"),
        ("data quality", r"while decompressing|BadGzipFile|not (?:in gzip format|a gzip)|CRC check failed|end-of-central-directory|zipfile directory|bad zip|not a zip|end-of-stream marker|(?:gzip|tar|xz|zstd|bzip2): .{0,80}unexpected (?:end of file|eof)|cannot (?:iterate over|index) (?:null|number|string|boolean|array|object)"),
        ("file exists already", r"^FileExistsError|file exists|(?<!\) )already exists\b|treating as \"\[N\]one\""),
        ("wrong call", r"arguments? (?:is|are) required|unrecognized (?:argument|option)|invalid option|illegal option|unknown option|invalid choice:|expected one argument|no such option|missing (?:option|argument|parameter)\b|not a git repository|automatic merge failed|fix conflicts"),
        ("missing file or table", r"^(?:FileNotFoundError|NotADirectoryError|IsADirectoryError)|no such file|unable to access jarfile|no urls matched|could not find file|unable to find file|no rule to make target|matched no (?:files|objects)|NoSuchKey|NoSuchBucket|no such (?:table|object|bucket)|is a directory|not a directory|(?:relation|table|view|schema|database|file|object|key|path|bucket|dataset).{0,120}(?:does not exist|doesn't exist|not found|is missing)|UndefinedTable|no partition of relation|can't open file|can not find the cwd|\b404\b|\bnot found\b|cannot find"),
        ("schema", r"(?:column|field|attribute).{0,120}(?:does not exist|not found|is of type|unknown|missing)|UndefinedColumn|DatatypeMismatch|cannot resolve column|AnalysisException|no (?:such )?column|missing column|schema mismatch|invalid (?:column|identifier)|unknown column|InvalidColumnReference|no unique or exclusion constraint|SchemaError|UndefinedFunction|operator does not exist|has no column"),
        ("syntax", r"^SyntaxError|^IndentationError|syntax error|unexpected (?:end|eof|token|indent)|parse error|missing .{1,3} near |ParserError|ParseException|illegal format|bad/illegal|unterminated"),
        ("bad request", r"^ParamValidationError"),
        ("data quality", r"CheckViolation|NotNullViolation|UniqueViolation|ForeignKeyViolation|IntegrityError|violates .{0,40}constraint|^DataError|invalid input syntax|test failed|data quality|expectation|validation|Failure in test|JSONDecodeError|UnicodeDecodeError|could not convert|ArrowInvalid|empty csv|EmptyDataError|out of range|OutOfBounds|invalid literal|Got \d+ results"),
        ("bad request", r"\b4(?:00|05|06|09|10|12|13|15|22)\b|bad ?request|unprocessable|ClientError|ValidationError|ParamValidation|invalid source uri"),
        ("database", r"^(?:OperationalError|ProgrammingError|DatabaseError|InternalError|InterfaceError|Database Error)|psycopg|ORA-\d|SQLSTATE"),
        ("killed from outside", r"Task is not able to be run|exited abnormally"),
        ("failed on purpose", r"^AirflowFailException"),
        ("code error", r"^(?:KeyError|TypeError|ValueError|AttributeError|IndexError|NameError|UnboundLocalError|AssertionError|ZeroDivisionError|RuntimeError|RecursionError|NotImplementedError|StopIteration|LookupError|ArithmeticError|OverflowError|Exception|NullPointerException|ReferenceError|UnicodeError|UnicodeEncodeError|IllegalArgumentException|EOFError|OSError|InvalidOperation|BufferError)\b|object has no attribute|is not defined|object '.{1,80}' not found|execution halted|undefined(?: reference|: \w| method| local variable| function)|uncaught |UndefVarError|panicked at|panic: runtime|terminate called|unbound variable|NoMethodError| at \S{1,300} line \d{1,9}\.$"),
        ("exit code", r"exit(?:ed)?(?: with)?(?: return)? (?:code|status)|non-zero|returned \d+"),
    )
)  # fmt: skip


def classify(exception: str | None, message: str, is_python: bool = False) -> str:
    """Name the class of a failure from its exception and words; "unknown" if none of the rules knows it.

    `is_python` says that the task's own Python raised it: then an exception nobody knows is the code's.
    """
    found = _class_of((f"{exception}: {message}" if exception else message)[:400].lower())
    return found or ("code error" if is_python else "unknown")


@lru_cache(2048)  # failures recur, and their words with them
def _class_of(said: str) -> str:
    return next((name for name, pattern in _RULES if pattern.search(said)), "")
