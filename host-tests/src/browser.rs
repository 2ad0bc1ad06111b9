//! A real Chromium without a window, with one page in it, driven as a user would.
//!
//! It records each request of the page and each error in its console. Its profile is new and is deleted with it.

mod pipe;
mod react;

pub use pipe::BrowserError;
pub use react::{Canned, Prompt};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process;
use pipe::Pipe;

/// The longest time until the page meets a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// The browser loads only our own pages, and root in a container gets no sandbox. No authority signed the certificates
/// of tests.
const ARGUMENTS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-component-update",
    "--ignore-certificate-errors",
    "--hide-scrollbars",
];

/// The domains of the DevTools protocol whose events are recorded.
const DOMAINS: [&str; 5] = ["Page", "Runtime", "Network", "Log", "Audits"];

/// A running browser. Dropping it ends the process.
#[derive(Debug)]
pub struct Browser {
    pipe: Pipe,
    tab: String,
    session: String,
    canned: Arc<Mutex<Option<Canned>>>,
    _files: TempDir,
}

impl Browser {
    /// Starts Chromium with an empty page. `prompt` says how it reacts to a request for a password.
    ///
    /// # Errors
    /// See [`BrowserError`].
    ///
    /// # Panics
    /// If it is not installed.
    pub async fn start(prompt: Prompt) -> Result<Self, BrowserError> {
        let files = tempfile::tempdir()?;
        let canned = Arc::new(Mutex::new(None));
        let to_give = Arc::clone(&canned);
        let react = move |event: &Value| react::to(event, &prompt, locked(&to_give).as_ref());
        let pipe = Pipe::start(&ARGUMENTS, files.path(), react)?;
        let tab = opened(&pipe).await?;
        let attach = json!({"targetId": tab, "flatten": true});
        let attached = pipe.call(None, "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        let browser = Self { pipe, tab, session, canned, _files: files };
        for domain in DOMAINS {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        browser.call("Fetch.enable", json!({"handleAuthRequests": true})).await?;
        Ok(browser)
    }

    /// Goes to an address, as if it were typed in.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn go(&self, address: &str) -> Result<(), BrowserError> {
        self.call("Page.navigate", json!({"url": address})).await.map(drop)
    }

    /// Evaluates an expression on the page. The page's Content-Security-Policy does not apply to it.
    ///
    /// # Errors
    /// See [`BrowserError`].
    ///
    /// # Panics
    /// If it throws.
    pub async fn evaluate(&self, expression: &str) -> Result<Value, BrowserError> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", parameters).await?;
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        Ok(answer["result"]["value"].take())
    }

    /// Evaluates an expression until its value fits. A page that is still loading may throw.
    ///
    /// # Panics
    /// If the value does not fit in time; the message says what the page showed.
    pub async fn until(&self, expression: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let guarded = format!("(() => {{ try {{ return {expression} }} catch {{}} }})()");
        let mut last = Value::Null;
        let seen = process::eventually(PATIENCE, async || {
            last = self.evaluate(&guarded).await.unwrap_or_default();
            fits(&last).then(|| last.clone())
        })
        .await;
        if let Some(seen) = seen {
            return seen;
        }
        let text = self.evaluate("document.body?.innerText").await.unwrap_or_default();
        let text = text.as_str().unwrap_or_default();
        panic!("`{expression}` stayed {last}; {:?} on:\n{text}", self.complaints());
    }

    /// Types text into the focused element.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn write(&self, text: &str) -> Result<(), BrowserError> {
        for char in text.chars() {
            self.press(&char.to_string()).await?;
        }
        Ok(())
    }

    /// Presses a key: `/`, `a`, `Escape`, `Tab`, `Enter`.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn press(&self, key: &str) -> Result<(), BrowserError> {
        let (text, code) = match key {
            "Escape" => ("", 27),
            "Tab" => ("", 9),
            "Enter" => ("\r", 13),
            other => (other, 0),
        };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let mut event =
            json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", event.clone()).await?;
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event).await.map(drop)
    }

    /// Resizes the window, in CSS pixels. A narrow window gets touch input instead of a mouse, as on a phone.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn resize(&self, width: u32, height: u32) -> Result<(), BrowserError> {
        let is_phone = width < 500;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await?;
        let touch = json!({"enabled": is_phone});
        self.call("Emulation.setTouchEmulationEnabled", touch).await.map(drop)
    }

    /// Sets the user's preferences: `prefers-color-scheme`, `prefers-reduced-motion`.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn prefer(&self, wishes: &[(&str, &str)]) -> Result<(), BrowserError> {
        let feature = |&(name, value): &(&str, &str)| json!({"name": name, "value": value});
        let features: Vec<_> = wishes.iter().map(feature).collect();
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await.map(drop)
    }

    /// Opens another tab in front of the page, which is hidden then.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn leave(&self) -> Result<(), BrowserError> {
        opened(&self.pipe).await.map(drop)
    }

    /// Goes back to the page's tab.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn come_back(&self) -> Result<(), BrowserError> {
        let tab = json!({"targetId": self.tab});
        self.pipe.call(None, "Target.activateTarget", tab).await.map(drop)
    }

    /// From now on, the page's script gets this answer; with `None`, the gateway's again.
    pub fn answer(&self, canned: Option<Canned>) {
        *locked(&self.canned) = canned;
    }

    /// Sets a cookie for an address, as a login in another tab does.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn set_cookie(
        &self,
        address: &str,
        (name, value): (&str, &str),
    ) -> Result<(), BrowserError> {
        let cookie = json!({"url": address, "name": name, "value": value});
        self.call("Network.setCookie", cookie).await.map(drop)
    }

    /// A screenshot of the window, as WebP.
    ///
    /// # Errors
    /// See [`BrowserError`].
    ///
    /// # Panics
    /// If it is not Base64.
    pub async fn screenshot(&self) -> Result<Vec<u8>, BrowserError> {
        let shot =
            self.call("Page.captureScreenshot", json!({"format": "webp", "quality": 90})).await?;
        Ok(STANDARD.decode(shot["data"].as_str().unwrap_or_default()).expect("Base64"))
    }

    /// The addresses of all requests of the page, its own included.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let requests = self.pipe.events("Network.requestWillBeSent");
        let address = |event: &Value| event["request"]["url"].as_str().map(str::to_owned);
        requests.iter().filter_map(address).collect()
    }

    /// The realms for which the browser asked for a name and a password.
    #[must_use]
    pub fn prompts(&self) -> Vec<String> {
        let asked = self.pipe.events("Fetch.authRequired");
        let realm = |event: &Value| event["authChallenge"]["realm"].as_str().map(str::to_owned);
        asked.iter().filter_map(realm).collect()
    }

    /// The messages in the page's console, its uncaught exceptions, and the violations of its policy.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        [
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Audits.issueAdded",
        ]
        .iter()
        .flat_map(|method| self.pipe.events(method))
        .map(|event| event.to_string())
        .collect()
    }

    async fn call(&self, method: &str, parameters: Value) -> Result<Value, BrowserError> {
        self.pipe.call(Some(&self.session), method, parameters).await
    }
}

/// Opens a tab in front of the others. Returns its id.
async fn opened(pipe: &Pipe) -> Result<String, BrowserError> {
    let target = pipe.call(None, "Target.createTarget", json!({"url": "about:blank"})).await?;
    Ok(target["targetId"].as_str().unwrap_or_default().to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
