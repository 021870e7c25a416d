//! From an upload to a process behind the stable address, and back to an earlier image.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use xtask::sync::lock;

use super::deployment::{Deployment, Status};
use super::{Railway, new_id};
use crate::http::client::{Client, Route};
use crate::process;

/// Between two attempts at it.
const HEALTHCHECK_INTERVAL: Duration = Duration::from_millis(25);
/// Between two looks whether a process still runs.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// What a process gets to end by itself.
const DRAIN: Duration = Duration::from_secs(3);

/// Why there is a deployment that was built.
const DEPLOY: &str = "deploy";

/// The application ended by itself.
#[derive(Debug)]
struct Exited;

impl std::fmt::Display for Exited {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the application ended")
    }
}

impl std::error::Error for Exited {}

impl Railway {
    /// Takes an upload; the deployment goes on by itself.
    pub(super) fn deploy_upload(self: &Arc<Self>, archive: &[u8], message: &str) -> Result<String> {
        let id = new_id()?;
        let image = self.folder.join("images").join(&id);
        unpack(archive, &image).context("the upload is not a gzipped tar archive")?;
        let (variables, root) = {
            let state = self.state();
            (state.variables.clone(), state.settings.root_directory.clone())
        };
        let root = root.unwrap_or_default();
        let image = image.join(root.trim_matches('/'));
        let deployment = Deployment {
            id: id.clone(),
            status: Status::Initializing,
            created_ms: self.shared.clock.now_ms(),
            message: message.to_owned(),
            reason: DEPLOY,
            image_digest: None,
            image,
            variables,
            removed_ms: None,
            is_completed: false,
            history: Vec::new(),
        };
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(archive)));
        self.begin(deployment, digest);
        Ok(id)
    }

    /// Makes a new deployment of an earlier one's image and variables.
    pub(super) fn roll_back(self: &Arc<Self>, target: &str) -> Result<()> {
        let now_ms = self.shared.clock.now_ms();
        let source = {
            let mut state = self.state();
            let found = state
                .deployments
                .iter()
                .find(|deployment| deployment.id == target);
            let source = found.context("Deployment not found")?.clone();
            if !source.can_roll_back(now_ms, self.config.image_retention_ms) {
                bail!("Deployment is not available for rollback");
            }
            // The service's variables go back too, so that the next deployment does not surprise.
            state.variables.clone_from(&source.variables);
            source
        };
        let digest = source.image_digest.clone().context("Deployment has no image")?;
        self.start_copy(&source, "rollback", digest)
    }

    /// Deploys the live image again, with the variables as they are now.
    pub(super) fn redeploy_live(self: &Arc<Self>) -> Result<()> {
        let source = {
            let state = self.state();
            let live = state
                .deployments
                .iter()
                .find(|deployment| Some(&deployment.id) == state.live.as_ref());
            let Some(live) = live else { return Ok(()) };
            Deployment {
                variables: state.variables.clone(),
                ..live.clone()
            }
        };
        let digest = source.image_digest.clone().context("Deployment has no image")?;
        self.start_copy(&source, "redeploy", digest)
    }

    /// A push to the connected repository, which the platform deploys by itself: the newest commit, built again.
    pub(in crate::platform) fn push(self: &Arc<Self>) -> Result<()> {
        let state = self.state();
        // The head of the branch, whatever is live.
        let uploads = state.deployments.iter().rev();
        let newest = uploads.into_iter().find(|deployment| deployment.reason == DEPLOY);
        let source = newest.context("nothing was deployed yet")?.clone();
        drop(state);
        let pushed = Deployment {
            message: String::new(),
            ..source
        };
        self.start_copy(&pushed, DEPLOY, format!("sha256:{}", new_id()?))
    }

    fn start_copy(self: &Arc<Self>, source: &Deployment, reason: &'static str, digest: String) -> Result<()> {
        let copy = Deployment {
            id: new_id()?,
            status: Status::Queued,
            created_ms: self.shared.clock.now_ms(),
            reason,
            image_digest: None,
            removed_ms: None,
            is_completed: false,
            history: Vec::new(),
            ..source.clone()
        };
        self.begin(copy, digest);
        Ok(())
    }

    fn begin(self: &Arc<Self>, mut deployment: Deployment, digest: String) {
        deployment.enter(deployment.status, deployment.created_ms);
        let id = deployment.id.clone();
        self.state().deployments.push(deployment);
        let railway = Arc::clone(self);
        thread::spawn(move || {
            let _turn = lock(&railway.turn);
            if let Err(error) = railway.go_live(&id, digest) {
                railway.note(&id, &format!("{error:#}"));
                railway.stop_child(&id);
                railway.enter(
                    &id,
                    if error.is::<Exited>() {
                        Status::Crashed
                    } else {
                        Status::Failed
                    },
                );
            }
        });
    }

    fn go_live(self: &Arc<Self>, id: &str, digest: String) -> Result<()> {
        self.enter(id, Status::Building);
        let deployment = self.find(id)?;
        let ends_as = self.state().next_ends_as.take();
        if let Some(status) = ends_as {
            self.enter(id, status);
            return Ok(());
        }
        // An earlier image is not built again.
        if deployment.reason == DEPLOY {
            thread::sleep(Duration::from_millis(self.config.build_ms));
        }
        if !deployment.image.is_dir() {
            bail!("Could not find root directory: {}", deployment.image.display());
        }
        self.config.application.build(&deployment.image)?;
        self.change(id, |deployment| deployment.image_digest = Some(digest));
        self.enter(id, Status::Deploying);
        let start_ms = self.state().start_ms;
        thread::sleep(Duration::from_millis(start_ms));
        let address = self.start_child(&deployment)?;
        self.wait_until_healthy(id, address)?;
        self.make_live(id, address);
        self.watch(id.to_owned());
        Ok(())
    }

    /// Starts the application with its variables as its only environment; where it listens. `RAILWAY_GIT_COMMIT_SHA` is not among
    /// them: the platform sets it for deployments of a connected repository, not for an upload (docs.railway.com, "Variables").
    fn start_child(&self, deployment: &Deployment) -> Result<SocketAddr> {
        let log = File::create(self.log_path(&deployment.id)).context("cannot create the log")?;
        let (mut command, known) = self
            .config
            .application
            .command(&deployment.image, &deployment.variables)?;
        command
            .env("RAILWAY_DEPLOYMENT_ID", &deployment.id)
            .env("RAILWAY_ENVIRONMENT_NAME", &self.config.environment_name)
            // The application ends when this pipe does: so it cannot outlive a simulator that was killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut state = self.state();
        if state.ended {
            bail!("the simulator is ending");
        }
        let mut child = process::spawn_group(&mut command)?;
        let stdout = child.stdout.take().context("no standard output")?;
        state.children.insert(deployment.id.clone(), child);
        drop(state);
        match known {
            Some(address) => {
                // What it prints is nobody's; a full pipe would stop it.
                thread::spawn(move || std::io::copy(&mut BufReader::new(stdout), &mut std::io::sink()));
                Ok(address)
            }
            None => self.first_line(stdout),
        }
    }

    fn first_line(&self, stdout: std::process::ChildStdout) -> Result<SocketAddr> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let deadline = Duration::from_millis(self.config.healthcheck_timeout_ms);
        let line = match receiver.recv_timeout(deadline) {
            Ok(line) => line,
            // Its output ended: so does it.
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Exited.into()),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the application did not say where it listens"),
        };
        let address = line
            .strip_prefix("listening on ")
            .with_context(|| format!("unexpected output: {line}"))?;
        address
            .parse()
            .with_context(|| format!("not an address: {address}"))
    }

    /// Without a path nothing is asked: the deployment is active when its container has started (docs.railway.com,
    /// "Deployments", "Active").
    fn wait_until_healthy(&self, id: &str, address: SocketAddr) -> Result<()> {
        if self.config.healthcheck_path.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_millis(self.config.healthcheck_timeout_ms);
        let client = Client::new(Route::Direct(address.to_string())).timeout(Duration::from_secs(5));
        while Instant::now() < deadline {
            if matches!(client.get(&self.config.healthcheck_path), Ok(response) if response.status == 200) {
                return Ok(());
            }
            if self.exit_of(id).is_some() {
                return Err(Exited.into());
            }
            thread::sleep(HEALTHCHECK_INTERVAL);
        }
        bail!("{} did not answer 200 in time", self.config.healthcheck_path)
    }

    /// Switches the stable address, then ends what it served before: no request is without an answer.
    fn make_live(&self, id: &str, address: SocketAddr) {
        self.proxy.switch(Some(address));
        let previous = self.state().live.replace(id.to_owned());
        self.enter(id, Status::Success);
        let was_live = |id: &String| {
            self.find(id)
                .is_ok_and(|deployment| deployment.status == Status::Success)
        };
        if let Some(previous) = previous.filter(was_live) {
            self.enter(&previous, Status::Removing);
            self.stop_child(&previous);
            self.enter(&previous, Status::Removed);
        }
    }

    /// Starts the process of the live deployment anew, as the platform does when it moves a service to another machine.
    pub(in crate::platform) fn restart(&self) -> Result<()> {
        let id = self.state().live.clone().context("nothing is live")?;
        let deployment = self.find(&id)?;
        let before = self.state().children.remove(&id);
        let mut before = before.with_context(|| format!("deployment {id} does not run"))?;
        let address = self.start_child(&deployment)?;
        self.proxy.switch(Some(address));
        drop(before.stdin.take());
        process::end_group(&mut before, DRAIN).map(drop)
    }

    /// A live process that ends without being told has crashed. One that nothing is asked of, and that ended well, as a cron does, has
    /// completed: that is no status of its own.
    fn watch(self: &Arc<Self>, id: String) {
        let railway = Arc::clone(self);
        thread::spawn(move || {
            while railway
                .find(&id)
                .is_ok_and(|deployment| deployment.status == Status::Success)
            {
                if let Some(ended_well) = railway.exit_of(&id) {
                    railway.stop_child(&id);
                    let is_live = railway
                        .find(&id)
                        .is_ok_and(|deployment| deployment.status == Status::Success);
                    if is_live && ended_well && railway.config.healthcheck_path.is_empty() {
                        railway.change(&id, |deployment| deployment.is_completed = true);
                    } else if is_live {
                        railway.enter(&id, Status::Crashed);
                    }
                    if is_live {
                        railway.proxy.switch(None);
                    }
                    return;
                }
                thread::sleep(WATCH_INTERVAL);
            }
        });
    }

    /// Whether the process ended well; `None` while it runs.
    fn exit_of(&self, id: &str) -> Option<bool> {
        match self.state().children.get_mut(id)?.try_wait() {
            Ok(None) => None,
            ended => Some(ended.ok().flatten().is_some_and(|status| status.success())),
        }
    }

    fn stop_child(&self, id: &str) {
        let child = self.state().children.remove(id);
        if let Some(mut child) = child {
            drop(child.stdin.take());
            // It is killed when it does not end; nothing more can be done.
            let _ = process::end_group(&mut child, DRAIN);
        }
    }

    /// Ends every process; none is started afterwards.
    pub(in crate::platform) fn shut_down(&self) {
        let ids: Vec<String> = {
            let mut state = self.state();
            state.ended = true;
            state.children.keys().cloned().collect()
        };
        for id in ids {
            self.stop_child(&id);
        }
    }

    fn enter(&self, id: &str, status: Status) {
        let now_ms = self.shared.clock.now_ms();
        self.change(id, |deployment| deployment.enter(status, now_ms));
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Deployment)) {
        if let Some(deployment) = self
            .state()
            .deployments
            .iter_mut()
            .find(|deployment| deployment.id == id)
        {
            change(deployment);
        }
    }

    pub(super) fn find(&self, id: &str) -> Result<Deployment> {
        let state = self.state();
        state
            .deployments
            .iter()
            .find(|deployment| deployment.id == id)
            .cloned()
            .context("Deployment not found")
    }

    fn log_path(&self, id: &str) -> std::path::PathBuf {
        self.folder.join("logs").join(format!("{id}.log"))
    }

    fn note(&self, id: &str, message: &str) {
        use std::io::Write as _;
        let file = File::options().create(true).append(true).open(self.log_path(id));
        if let Ok(mut file) = file {
            // The log is for people who look for the cause; the status already says what happened.
            let _ = writeln!(file, "{message}");
        }
    }
}

fn unpack(archive: &[u8], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    archive.unpack(folder)?;
    Ok(())
}
