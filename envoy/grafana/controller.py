"""The dashboard of controllers: jobs, capacity, instances, and the controller's own services."""

from grafana_foundation_sdk.builders.dashboard import Row

from panels import FULL, THIRD, graph, grid, heat, new, number, rows, series, variable

# `source` is a label of the controllers' series only if a gateway has several sources.
SELECTOR = 'job=~"$job",source=~"$source"'
ENABLED = 'enabled="True"'
OF_USERS = 'type="user"'
DISTINCT = 'type="active"'
RUNNING = 'status="running"'
ACTIVE = 'status=~"pending|waiting|running"'
ENDED = 'status=~"successful|failed|error|canceled"'
FAILED = 'status=~"failed|error"'
FAILED_OR_NOT = 'status=~"successful|failed|error"'


def metric(name, matchers=""):
    """A metric of the controllers. Gateways that serve the same page count once."""
    return f"max without (instance, pod) ({selected(name, matchers)})"


def selected(name, matchers=""):
    return f"{name}{{{SELECTOR}{',' if matchers else ''}{matchers}}}"


def rate(name):
    return f"max without (instance, pod) (rate({selected(name)}[$__rate_interval]))"


def by_node(name):
    return f"max by (source, node) ({selected(name)})"


def board():
    it = new(
        "awx-controller",
        "AWX / Controller",
        "Jobs, capacity and instances of the automation controllers, and their own services.",
        [variable("job", "awx_system_info"), variable("source", 'awx_system_info{job=~"$job"}', ".*")],
    )
    for part in (overview, jobs, capacity, subsystem, content):
        part(it)
    return it


def overview(it):
    it.with_row(Row("Overview"))
    it.with_panel(
        number(
            "Running jobs", "Jobs that run now.", "none", series(f"sum({metric('awx_running_jobs_total')})", "running")
        )
    )
    it.with_panel(
        number(
            "Pending jobs",
            "Jobs that wait for capacity or for another job.",
            "none",
            series(f"sum({metric('awx_pending_jobs_total')})", "pending"),
            warn=10,
            alarm=50,
        )
    )
    it.with_panel(
        number(
            "Capacity left",
            "The share of the capacity of all instances that no job uses.",
            "percentunit",
            series(
                f"sum({metric('awx_instance_remaining_capacity')}) / sum({metric('awx_instance_capacity')})", "left"
            ),
            warn=0.25,
            alarm=0.1,
        )
    )
    it.with_panel(
        number(
            "Instances",
            "Instances that are registered and enabled.",
            "none",
            series(f"count({metric('awx_instance_info', ENABLED)})", "instances"),
        )
    )
    it.with_panel(
        number(
            "Failed jobs",
            "The share of the jobs that ended in the last 30 minutes that failed. No value if none ended.",
            "percentunit",
            series(f"{ended(FAILED)} / {ended(FAILED_OR_NOT)}", "failed"),
            warn=0.1,
            alarm=0.2,
        )
    )
    it.with_panel(
        number(
            "Sessions",
            "Sessions of users in the controller.",
            "none",
            series(f"sum({metric('awx_sessions_total', OF_USERS)})", "sessions"),
        )
    )
    it.with_panel(
        number(
            "Database connections",
            "Connections to the controller's database.",
            "none",
            series(f"sum({metric('awx_database_connections_total')})", "connections"),
        )
    )
    it.with_panel(
        number(
            "Managed hosts",
            "Hosts with distinct names in all inventories.",
            "none",
            series(f"sum({metric('awx_hosts_total', DISTINCT)})", "hosts"),
        )
    )


def ended(statuses, by=""):
    """Jobs that ended with these statuses in 30 minutes. Deleted jobs count as none."""
    counts = f"max without (instance, pod) (delta({selected('awx_status_total', statuses)}[30m]))"
    return f"sum{by} (clamp_min({counts}, 0))"


def jobs(it):
    it.with_row(Row("Jobs"))
    it.with_panel(
        graph(
            "Active jobs",
            "Jobs that have not ended, by status.",
            "none",
            series(f"sum by (status) ({metric('awx_status_total', ACTIVE)})", "{{status}}"),
            stacked=True,
        )
    )
    it.with_panel(
        graph(
            "Jobs that ended in 30 minutes",
            "By status, counted in the controller's database. Jobs that its cleanup deletes count as none.",
            "none",
            series(ended(ENDED, " by (status)"), "{{status}}"),
            stacked=True,
        )
    )
    it.with_panel(
        graph(
            "Running jobs by node",
            "Jobs that run on each node.",
            "none",
            series(f"sum by (source, node) ({metric('awx_instance_status_total', RUNNING)})", "{{source}} {{node}}"),
            stacked=True,
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Failed jobs by node",
            "Jobs in the controller's database that failed, by the node that ran them.",
            "none",
            series(f"sum by (source, node) ({metric('awx_instance_status_total', FAILED)})", "{{source}} {{node}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Jobs by launch type",
            "Jobs in the controller's database, by how they were started.",
            "none",
            series(f"sum by (launch_type) ({metric('awx_instance_launch_type_total')})", "{{launch_type}}"),
            span=THIRD,
        )
    )


def capacity(it):
    it.with_row(Row("Capacity and instances"))
    it.with_panel(
        graph(
            "Capacity left by instance",
            "The share of an instance's capacity that no job uses. No line for an instance without capacity.",
            "percentunit",
            series(
                f"max by (source, hostname) ({selected('awx_instance_remaining_capacity')}) / "
                f"max by (source, hostname) ({selected('awx_instance_capacity')})",
                "{{source}} {{hostname}}",
            ),
        )
    )
    it.with_panel(
        graph(
            "Used capacity by instance",
            "Capacity that jobs use, in forks.",
            "none",
            series(
                f"max by (source, hostname) ({selected('awx_instance_consumed_capacity')})", "{{source}} {{hostname}}"
            ),
            stacked=True,
        )
    )
    labels = "source, hostname, node_type"
    it.with_panel(
        grid(
            "Instances",
            "All registered instances. A capacity of 0 means that an instance is disabled or lost.",
            "none",
            rows(f"max by ({labels}, version, enabled) ({selected('awx_instance_info')})"),
            rows(f"max by ({labels}) ({selected('awx_instance_capacity')})"),
            rows(f"max by ({labels}) ({selected('awx_instance_consumed_capacity')})"),
            hidden=["Value #A"],
            names={"Value #B": "capacity", "Value #C": "used"},
            span=FULL,
        )
    )


def subsystem(it):
    it.with_row(Row("Task manager"))
    for title, prefix, parts in (
        (
            "Task manager",
            "task_manager",
            ("_schedule", "get_tasks", "process_running_tasks", "process_pending_tasks", "start_task", "commit"),
        ),
        ("Dependency manager", "dependency_manager", ("_schedule", "get_tasks", "generate_dependencies")),
        ("Workflow manager", "workflow_manager", ("_schedule", "get_tasks", "spawn_workflow_graph_jobs")),
    ):
        queries = [
            series(f"max by (source, node) ({selected(f'{prefix}_{part}_seconds')})", f"{{{{node}}}} {part.strip('_')}")
            for part in parts
        ]
        it.with_panel(
            graph(
                f"{title}: duration",
                f"How long the last run of the {title.lower()} and its parts took, on each node.",
                "s",
                *queries,
                span=THIRD,
            )
        )
    it.with_panel(
        graph(
            "Tasks of the last run",
            "Tasks that the task manager started, found running or pending, or found blocked by another job.",
            "none",
            *(
                series(by_node(f"task_manager_{part}"), f"{{{{node}}}} {part}")
                for part in ("tasks_started", "running_processed", "pending_processed", "tasks_blocked")
            ),
        )
    )
    it.with_panel(
        graph(
            "Age of the task manager's metrics",
            "Time since a node last recorded a run. If it grows, the task manager does not run.",
            "s",
            series(f"time() - {by_node('task_manager_recorded_timestamp')}", "{{source}} {{node}}"),
        )
    )
    it.with_row(Row("Dispatcher and job events"))
    it.with_panel(
        graph(
            "Dispatcher availability",
            "The share of the time in which the dispatcher could receive messages.",
            "percentunit",
            series(by_node("dispatcher_availability"), "{{source}} {{node}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Dispatcher pool",
            "Active tasks and the highest number of workers in the pool.",
            "none",
            series(by_node("dispatcher_pool_active_task_count"), "{{node}} tasks"),
            series(by_node("dispatcher_pool_max_worker_count"), "{{node}} workers"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Dispatcher scale-ups",
            "Workers that the dispatcher added since it started.",
            "none",
            series(by_node("dispatcher_pool_scale_up_events"), "{{source}} {{node}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Events that wait",
            "Job events in Redis and in memory that are not in the database yet.",
            "none",
            series(by_node("callback_receiver_events_queue_size_redis"), "{{node}} Redis"),
            series(by_node("callback_receiver_events_in_memory"), "{{node}} memory"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Events stored",
            "Job events that are written to the database.",
            "ops",
            series(rate("callback_receiver_events_insert_db"), "{{source}} {{node}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Event processing time",
            "The average time that an event takes, for each batch.",
            "s",
            series(by_node("callback_receiver_event_processing_avg_seconds"), "{{source}} {{node}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        heat(
            "Events in a batch",
            "How many events a batch has that is written to the database.",
            "none",
            series(f"sum by (le) ({selected('callback_receiver_batch_events_insert_db_bucket')})", "{{le}}"),
        )
    )
    it.with_panel(
        graph(
            "Failed batches and metrics",
            "Batches of events that could not be written, and the time that saving metrics to Redis takes.",
            "none",
            series(by_node("callback_receiver_batch_events_errors"), "{{node}} failed batches"),
            series(by_node("subsystem_metrics_pipe_execute_seconds"), "{{node}} seconds to save metrics"),
        )
    )


def content(it):
    it.with_row(Row("Content and subscription"))
    names = (
        "organizations",
        "users",
        "teams",
        "inventories",
        "projects",
        "job_templates",
        "workflow_job_templates",
        "schedules",
    )
    it.with_panel(
        graph(
            "Content",
            "Objects in the controller.",
            "none",
            *(series(f"sum({metric(f'awx_{name}_total')})", name.replace("_", " ")) for name in names),
        )
    )
    it.with_panel(
        graph(
            "Managed hosts of the subscription",
            "Both are 0 without a subscription.",
            "none",
            series(f"sum by (source) ({metric('awx_license_instance_total')})", "{{source}} total"),
            series(f"sum by (source) ({metric('awx_license_instance_free')})", "{{source}} free"),
        )
    )
    it.with_panel(
        grid(
            "Controllers",
            "Version and subscription. `license_expiry` is the time that is left, in seconds.",
            "none",
            rows(
                "max by (source, tower_version, tower_url_base, license_type, license_expiry) "
                f"({selected('awx_system_info')})"
            ),
            hidden=["Value"],
        )
    )
