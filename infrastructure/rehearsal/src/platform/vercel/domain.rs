//! Which deployment has the production domain.

use serde_json::json;

use super::{State, Vercel, error};
use crate::http::router::Captures;
use crate::http::{Request, Response};

impl Vercel {
    /// Gives the production domain to a deployment.
    pub(super) fn make_live(&self, state: &mut State, id: &str) {
        let Some(deployment) = state.deployments.iter_mut().find(|one| one.id == id) else {
            return;
        };
        deployment.was_live = true;
        self.domain.switch(id, &deployment.folder);
        if let Some(previous) = state.live.replace(id.to_owned()) {
            state.earlier.push(previous);
        }
    }

    pub(super) fn promote(&self, _: &Request, captures: &Captures) -> Response {
        self.alias(captures, "promote")
    }

    pub(super) fn roll_back(&self, _: &Request, captures: &Captures) -> Response {
        self.alias(captures, "rollback")
    }

    fn alias(&self, captures: &Captures, kind: &str) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let mut state = self.state();
        let Some(target) = state
            .deployments
            .iter()
            .find(|one| one.id == captures[1])
            .cloned()
        else {
            return error(404, "not_found", "Deployment not found");
        };
        if target.state != "READY" || !target.is_production() {
            return error(
                400,
                "bad_request",
                "The deployment is not a ready production deployment",
            );
        }
        if state.live.as_deref() == Some(&target.id) {
            let message = "This deployment is already the current production deployment";
            return error(409, "conflict", message);
        }
        if kind == "rollback" && !target.was_live {
            return error(
                422,
                "unprocessable_entity",
                "The deployment was never in production",
            );
        }
        if kind == "rollback" && self.config.hobby && state.earlier.last() != Some(&target.id) {
            let message = "Hobby accounts can roll back to the previous production deployment only";
            return error(402, "upgrade_required", message);
        }
        let from = state.live.clone();
        let rolls_out = state
            .settings
            .get("rollingRelease")
            .is_some_and(|set| !set.is_null());
        if kind == "rollback" || !rolls_out {
            self.make_live(&mut state, &target.id);
        }
        state.assigns_domains = kind == "promote";
        state.last_alias_request = json!({
            "fromDeploymentId": from, "toDeploymentId": target.id, "jobStatus": "succeeded", "type": kind,
            "requestedAt": self.shared.clock.now_ms(),
        });
        Response::json(201, &json!({}))
    }
}
