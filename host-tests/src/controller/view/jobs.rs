//! Launches, relaunches, cancels and shows jobs. Only superusers may do so.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use super::{Answer, Ask, Refusal};
use crate::controller::state::{Job, JobStatus, LaunchType, Template};
use crate::controller::{clock, locked};

/// A captured launch of template 0 as job 241. The JSON of every job is made from it.
const LAUNCHED: &str = include_str!("../../../fixtures/captures/jt/jt-launch-post.body");
const LAUNCHABLE: &str = include_str!("../../../fixtures/captures/jt/jt-launch-get.body");
const RELAUNCHABLE: &str = include_str!("../../../fixtures/captures/job/job-relaunch-get.body");

impl Ask<'_> {
    pub(super) fn launch(&self, template: Option<Template>) -> Result<Answer, Refusal> {
        let template = template.ok_or_else(|| Refusal::not_found("JobTemplate"))?;
        self.check_role()?;
        if self.call.method != Method::POST {
            return Ok(Answer::json(StatusCode::OK, of_template(LAUNCHABLE, template)));
        }
        let user = self.user()?;
        let mut state = locked(&self.shared.state);
        let job = state.jobs.launch(template, LaunchType::Manual, (user.id, user.name));
        let ignored = Value::from(self.asked());
        let json = format!(r#"{{"job":{},"ignored_fields":{ignored},{}}}"#, job.id, job_json(job));
        Ok(created(job, json))
    }

    pub(super) fn relaunch(&self, id: u32) -> Result<Answer, Refusal> {
        let user = self.user()?;
        let mut state = locked(&self.shared.state);
        let template = state.jobs.job(id).ok_or_else(|| Refusal::not_found("Job"))?.template;
        self.check_role()?;
        if self.call.method != Method::POST {
            return Ok(Answer::json(StatusCode::OK, RELAUNCHABLE));
        }
        if self.asked().get("hosts").is_some_and(|hosts| hosts == "failed") {
            let json = r#"{"hosts":"Cannot retry on failed hosts, playbook stats not available."}"#;
            return Ok(Answer::json(StatusCode::BAD_REQUEST, json));
        }
        let job = state.jobs.launch(template, LaunchType::Relaunch, (user.id, user.name));
        Ok(created(job, format!(r#"{{{},"job":{}}}"#, job_json(job), job.id)))
    }

    pub(super) fn cancel(&self, id: u32) -> Result<Answer, Refusal> {
        let mut state = locked(&self.shared.state);
        let job = state.jobs.job(id).ok_or_else(|| Refusal::not_found("Job"))?;
        self.check_role()?;
        let can_cancel = job.status.is_active();
        if self.call.method != Method::POST {
            let json = format!(r#"{{"can_cancel":{can_cancel}}}"#);
            return Ok(Answer::json(StatusCode::OK, json));
        }
        if !state.jobs.set(id, JobStatus::Canceled) {
            return Err(Refusal::method(&self.call.method));
        }
        Ok(Answer::nothing(StatusCode::ACCEPTED))
    }

    pub(super) fn job(&self, id: u32) -> Result<Answer, Refusal> {
        let mut state = locked(&self.shared.state);
        let job = state.jobs.job(id).ok_or_else(|| Refusal::not_found("Job"))?;
        self.check_role()?;
        if self.call.method != Method::DELETE {
            let more = r#""host_status_counts":null,"playbook_counts":{"play_count":0,"task_count":0},"custom_virtualenv":null"#;
            return Ok(Answer::json(StatusCode::OK, format!("{{{},{more}}}", job_json(job))));
        }
        if job.status.is_active() {
            let json = r#"{"error":"Cannot delete running job resource."}"#;
            return Ok(Answer::json(StatusCode::CONFLICT, json));
        }
        state.jobs.remove(id);
        Ok(Answer::nothing(StatusCode::NO_CONTENT))
    }

    /// The fields of the request's body. The templates here have no prompts, so a launch ignores all fields.
    fn asked(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.call.body).unwrap_or_default()
    }
}

fn created(job: &Job, json: String) -> Answer {
    let location = Some(format!("/api/v2/jobs/{}/", job.id));
    Answer { location, ..Answer::json(StatusCode::CREATED, json) }
}

/// A job's fields, without the braces.
fn job_json(job: &Job) -> String {
    let captured = LAUNCHED.split_once(r#""ignored_fields":{},"#).map_or("", |(_, rest)| rest);
    let json = of_template(captured.trim_end_matches('}'), job.template);
    let active = job.status.is_active();
    let moment = |moment: Option<_>| {
        moment.map_or("null".to_owned(), |at| format!("\"{}\"", clock::iso(at)))
    };
    let canceled = job.finished.filter(|_| job.status == JobStatus::Canceled);
    let failed = matches!(job.status, JobStatus::Failed | JobStatus::Canceled);
    let (id, name) = job.by;
    let replacements = [
        ("/jobs/241/", format!("/jobs/{}/", job.id)),
        ("\"id\":241", format!("\"id\":{}", job.id)),
        ("2026-11-22T18:43:09.528889Z", clock::iso(job.created)),
        ("2026-11-22T18:43:09.568720Z", clock::iso(job.created)),
        ("/users/1/", format!("/users/{id}/")),
        (r#""id":1,"username":"admin""#, format!(r#""id":{id},"username":"{name}""#)),
        (r#""id":1,"name":"admin""#, format!(r#""id":{id},"name":"{name}""#)),
        (r#""launch_type":"manual""#, format!(r#""launch_type":"{}""#, job.launch.as_str())),
        (r#""status":"pending""#, format!(r#""status":"{}""#, job.status.as_str())),
        (r#""failed":false"#, format!(r#""failed":{failed}"#)),
        (r#""started":null"#, format!(r#""started":{}"#, moment(job.started))),
        (r#""finished":null"#, format!(r#""finished":{}"#, moment(job.finished))),
        (r#""canceled_on":null"#, format!(r#""canceled_on":{}"#, moment(canceled))),
        (r#"processing_finished":false"#, format!(r#"processing_finished":{}"#, !active)),
    ];
    replaced(&json, &replacements)
}

/// Replaces the numbers and names of template 0 by those of another template.
fn of_template(json: &str, template: Template) -> String {
    let Template { index } = template;
    let (organization, project, inventory) = (index + 1, index + 6, template.inventory());
    let (id, name, inventory_id) = (template.id(), template.name(), inventory + 1);
    replaced(
        json,
        &[
            ("/organizations/1/", format!("/organizations/{organization}/")),
            (r#""id":1,"name":"Org 0""#, format!(r#""id":{organization},"name":"Org {index}""#)),
            (r#""organization":1"#, format!(r#""organization":{organization}"#)),
            ("/projects/6/", format!("/projects/{project}/")),
            (r#""id":6,"name":"Project 0""#, format!(r#""id":{project},"name":"Project {index}""#)),
            (r#""project":6"#, format!(r#""project":{project}"#)),
            ("/inventories/1/", format!("/inventories/{inventory_id}/")),
            (
                r#""id":1,"name":"Inv 0""#,
                format!(r#""id":{inventory_id},"name":"Inv {inventory}""#),
            ),
            (
                r#""name":"Inv 0","id":1"#,
                format!(r#""name":"Inv {inventory}","id":{inventory_id}"#),
            ),
            (r#""inventory":1"#, format!(r#""inventory":{inventory_id}"#)),
            ("/job_templates/11/", format!("/job_templates/{id}/")),
            (r#""id":11"#, format!(r#""id":{id}"#)),
            (r#"job_template":11"#, format!(r#"job_template":{id}"#)),
            ("JT 0", name),
        ],
    )
}

fn replaced(text: &str, replacements: &[(&str, String)]) -> String {
    replacements.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
