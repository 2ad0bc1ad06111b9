//! Job templates and jobs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The node that runs all jobs.
const NODE: &str = "awx-1";

/// The first id that the captured instance gave to a job launched by a client.
const FIRST_JOB: u32 = 241;

/// A job of the captured instance that finished long ago.
const FINISHED_JOB: u32 = 232;

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Launched, but not started.
    Pending,
    /// Started.
    Running,
    /// Ended with success.
    Successful,
    /// Ended with a failure.
    Failed,
    /// Ended by a user.
    Canceled,
}

impl JobStatus {
    pub(in crate::controller) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub(in crate::controller) fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum LaunchType {
    Manual,
    Relaunch,
}

impl LaunchType {
    pub(in crate::controller) fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Relaunch => "relaunch",
        }
    }
}

/// One of the captured instance's four job templates, `JT 0` to `JT 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Template {
    /// 0 to 3.
    pub(in crate::controller) index: u32,
}

impl Template {
    const COUNT: u32 = 4;
    const FIRST_ID: u32 = 11;

    /// By number or, as the controller's named URLs allow, by name.
    pub(in crate::controller) fn find(key: &str) -> Option<Self> {
        let mut all = (0..Self::COUNT).map(|index| Self { index });
        all.find(|template| template.id().to_string() == key || template.name() == key)
    }

    pub(in crate::controller) fn id(self) -> u32 {
        Self::FIRST_ID + self.index
    }

    pub(in crate::controller) fn name(self) -> String {
        format!("JT {}", self.index)
    }

    /// The inventory's index: there are three of them.
    pub(in crate::controller) fn inventory(self) -> u32 {
        self.index % 3
    }
}

#[derive(Clone, Debug)]
pub(in crate::controller) struct Job {
    pub(in crate::controller) id: u32,
    pub(in crate::controller) template: Template,
    pub(in crate::controller) launch: LaunchType,
    pub(in crate::controller) by: (u32, &'static str),
    pub(in crate::controller) status: JobStatus,
    pub(in crate::controller) created: SystemTime,
    pub(in crate::controller) started: Option<SystemTime>,
    pub(in crate::controller) finished: Option<SystemTime>,
}

impl Job {
    fn move_to(&mut self, status: JobStatus, now: SystemTime) {
        self.status = status;
        if status == JobStatus::Running {
            self.started = Some(now);
        }
        self.finished = (!status.is_active()).then_some(now);
    }
}

/// The jobs launched here, and one earlier one.
#[derive(Debug)]
pub(in crate::controller) struct Jobs {
    jobs: BTreeMap<u32, Job>,
    pub(in crate::controller) next: u32,
}

impl Jobs {
    pub(in crate::controller) fn captured() -> Self {
        let mut jobs = Self { jobs: BTreeMap::new(), next: FINISHED_JOB };
        let last = Template { index: Template::COUNT - 1 };
        jobs.launch(last, LaunchType::Manual, (1, "admin"));
        jobs.set(FINISHED_JOB, JobStatus::Successful);
        jobs.next = FIRST_JOB;
        jobs
    }

    pub(in crate::controller) fn launch(
        &mut self,
        template: Template,
        launch: LaunchType,
        by: (u32, &'static str),
    ) -> &Job {
        let (id, created) = (self.next, SystemTime::now());
        let status = JobStatus::Pending;
        self.next += 1;
        let job = Job { id, template, launch, by, status, created, started: None, finished: None };
        self.jobs.entry(id).or_insert(job)
    }

    pub(in crate::controller) fn job(&self, id: u32) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub(in crate::controller) fn remove(&mut self, id: u32) {
        self.jobs.remove(&id);
    }

    /// Sets the status of a job; `false` if it has ended or does not exist.
    pub(in crate::controller) fn set(&mut self, id: u32, status: JobStatus) -> bool {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.status.is_active()) else {
            return false;
        };
        job.move_to(status, SystemTime::now());
        true
    }

    /// Starts jobs that have waited for `pending`, and ends those that have run for `running` with success.
    pub(in crate::controller) fn advance(&mut self, pending: Duration, running: Duration) {
        let now = SystemTime::now();
        for job in self.jobs.values_mut() {
            let since = |moment: SystemTime| now.duration_since(moment).unwrap_or_default();
            match job.status {
                JobStatus::Pending if since(job.created) >= pending => {
                    job.move_to(JobStatus::Running, now);
                }
                JobStatus::Running if since(job.started.unwrap_or(now)) >= running => {
                    job.move_to(JobStatus::Successful, now);
                }
                _ => {}
            }
        }
    }

    /// The differences of the series of the metrics page from the captured ones.
    pub(in crate::controller) fn changes(&self) -> BTreeMap<String, i64> {
        let mut changes = BTreeMap::new();
        let mut add = |series: String| *changes.entry(series).or_insert(0) += 1;
        for job in self.jobs.values().filter(|job| job.id >= FIRST_JOB) {
            let (status, launch) = (job.status.as_str(), job.launch.as_str());
            add(format!("awx_status_total{{status=\"{status}\"}}"));
            match job.status {
                JobStatus::Pending => add("awx_pending_jobs_total".to_owned()),
                JobStatus::Running => add("awx_running_jobs_total".to_owned()),
                _ => {}
            }
            if job.started.is_some() {
                add(format!("awx_instance_status_total{{node=\"{NODE}\",status=\"{status}\"}}"));
                add(format!(
                    "awx_instance_launch_type_total{{launch_type=\"{launch}\",node=\"{NODE}\"}}"
                ));
            }
        }
        changes
    }
}
