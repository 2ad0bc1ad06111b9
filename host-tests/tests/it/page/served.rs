//! The delivery of the page: its clients, its headers, and the answers to other clients.

use host_tests::browser::{Browser, Prompt};
use host_tests::{on_both_hosts, oracle};
use hyper::body::Bytes;
use hyper::{Method, Response};

use crate::stage::{METRICS, Stage, sample};

/// The Accept header of Chromium.
const BROWSERS: &str =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

fn header<'a>(reply: &'a Response<Bytes>, name: &str) -> &'a str {
    reply.headers()[name].to_str().unwrap()
}

fn body(reply: &Response<Bytes>) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

on_both_hosts! {
    async fn only_a_client_that_prefers_html_gets_the_html_page(host) {
        let stage = Stage::start(host).await.up().await;
        let unpacking = stage.prometheus().header("accept-encoding", "gzip, deflate, br");
        let browser = unpacking.clone().header("accept", BROWSERS);
        let page = browser.get(METRICS).await.unwrap();
        assert_eq!(page.status(), 200);
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&page, "x-content-type-options"), "nosniff");
        assert_eq!(header(&page, "referrer-policy"), "no-referrer");
        assert_eq!(header(&page, "cache-control"), "no-store");
        let policy = header(&page, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert_eq!(header(&page, "content-encoding"), "gzip");
        assert!(oracle::gunzip(page.body()).unwrap().starts_with(b"<!doctype html>"));

        for query in ["?format=html", "?format=api"] {
            let asked = unpacking.get(&format!("{METRICS}{query}")).await.unwrap();
            assert_eq!(asked.body(), page.body(), "{query}");
        }
        let document = oracle::gunzip(page.body()).unwrap();
        for accept in [BROWSERS, "text/html", "text/html, image/gif, image/jpeg, */*; q=0.2"] {
            let plain = stage.prometheus().header("accept", accept).get(METRICS).await.unwrap();
            assert_eq!(plain.status(), 200, "{accept}");
            assert_eq!(header(&plain, "content-type"), "text/html; charset=utf-8");
            assert_eq!(header(&plain, "content-security-policy"), policy);
            assert!(!plain.headers().contains_key("content-encoding"));
            assert_eq!(plain.body(), &document, "{accept}");
        }

        let head = browser.request(Method::HEAD, METRICS, "").await.unwrap();
        assert_eq!(header(&head, "content-type"), "text/html; charset=utf-8");
        for accept in ["*/*", "text/*", "text/plain, text/html"] {
            let reply = stage.prometheus().header("accept", accept).get(METRICS).await.unwrap();
            assert!(header(&reply, "content-type").starts_with("text/plain"), "{accept}");
        }
        let counted = [("format", "html"), ("code", "200")];
        let count = |page: &str| sample(page, "awx_gateway_scrapes_total", &counted) == Some(7.0);
        stage.until("?gateway=only", count).await;
    }

    async fn a_refused_client_that_prefers_html_gets_a_sentence_in_html(host) {
        let stage = Stage::start(host).await;
        let stranger = stage.gateway.client().header("accept", BROWSERS);
        let refused = stranger.get(METRICS).await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(header(&refused, "content-type"), "text/html; charset=utf-8");
        assert!(header(&refused, "content-security-policy").starts_with("default-src 'none'; base"));
        assert!(body(&refused).contains("<p>Authentication credentials were not provided."));
        assert!(!body(&refused).contains("script"));

        let odd = stage.prometheus().header("accept", BROWSERS);
        let reply = odd.request(Method::POST, METRICS, "").await.unwrap();
        assert_eq!(reply.status(), 405);
        assert!(body(&reply).contains("<p>Method &quot;POST&quot; not allowed."));
        assert_eq!(header(&reply, "content-type"), "text/html; charset=utf-8");
    }

    async fn closing_the_browsers_prompt_shows_the_reason(host) {
        let stage = Stage::start(host).await;
        let browser = Browser::start(Prompt::Cancel).await.unwrap();
        browser.go(&format!("http://{}{METRICS}", stage.gateway.address())).await.unwrap();
        let is_said = "document.body.innerText.startsWith('Authentication credentials were not')";
        browser.until(is_said, |is_said| is_said == true).await;
        assert_eq!(browser.prompts(), ["api"]);
    }
}
