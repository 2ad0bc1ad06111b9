//! Accessibility of the page: keyboard only, on a phone, in dark colors.

use host_tests::browser::Browser;
use hyper::Method;
use serde_json::{Value, json};

use super::{ENVOY, admin, assert_quiet, filter, is_true, open, opened, shown};
use crate::stage::Stage;

const FOCUSED: &str = "document.activeElement.textContent";

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough_to_filter_fold_and_pause() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let cards = "document.querySelectorAll('article:not([hidden])').length";
    let all = browser.evaluate(cards).await.unwrap();

    filter(&browser, "awx_status running").await;
    assert_eq!(browser.evaluate(cards).await.unwrap(), 1);
    let found = browser.evaluate("document.getElementById('found').textContent").await.unwrap();
    assert_eq!(found, "1 found");
    browser.until(&shown("awx_status_total", &["running"]), |shown| shown != &Value::Null).await;
    browser.press("Escape").await.unwrap();
    browser.until(cards, |now| now == &all).await;

    browser.press("Tab").await.unwrap();
    assert_eq!(browser.evaluate(FOCUSED).await.unwrap(), "Pause");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.evaluate(outline).await.unwrap(), "solid");
    browser.press("Enter").await.unwrap();
    let age = "document.getElementById('age').textContent.startsWith('paused')";
    browser.until(age, is_true).await;

    browser.press("Tab").await.unwrap();
    let summary = browser.evaluate(FOCUSED).await.unwrap();
    assert!(summary.as_str().unwrap().starts_with("Gateway"), "{summary}");
    browser.press("Enter").await.unwrap();
    let open = "[...document.querySelectorAll('details')].map((group) => group.open)";
    assert_eq!(browser.evaluate(open).await.unwrap(), json!([false, true, true]));
    assert_quiet(&browser, &stage.gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_unfolds_a_family_and_keeps_its_place_while_the_numbers_change() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    filter(&browser, "awx_gateway_auth").await;
    let allowed = shown("awx_gateway_auth_attempts_total", &["allowed", "basic"]);
    let before = browser.until(&allowed, Value::is_string).await;
    for focused in ["Pause", "Gateway25 series", "Show all 25"] {
        browser.press("Tab").await.unwrap();
        assert_eq!(browser.evaluate(FOCUSED).await.unwrap(), focused);
    }
    browser.press("Enter").await.unwrap();
    let rows = "document.querySelectorAll('article:not([hidden]) .row').length";
    assert_eq!(browser.evaluate(rows).await.unwrap(), 25);
    browser.until(&allowed, |now| now.is_string() && now != &before).await;
    assert_eq!(browser.evaluate(FOCUSED).await.unwrap(), "Show fewer");
    assert_eq!(browser.evaluate(rows).await.unwrap(), 25);
}

/// Unfolds everything, in a window so high that all of it is visible.
async fn see_all(browser: &Browser, width: u32) {
    browser.resize(width, 20_000).await.unwrap();
    let is_there = "[...document.querySelectorAll('article:not([hidden])')]
        .every((card) => card.querySelector('li'))";
    browser.until(is_there, is_true).await;
    let folded = "[...document.querySelectorAll('article button:not([hidden])')]
        .filter((more) => more.textContent.startsWith('Show all'))";
    browser.evaluate(&format!("{folded}.forEach((more) => more.click())")).await.unwrap();
    assert_eq!(browser.evaluate(&format!("{folded}.length")).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_the_page_without_horizontal_scrolling() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    // Elements that extend beyond the window, and elements that are wider than their container.
    let outside = "[...document.querySelectorAll('body *')].filter((it) => {
        const { left, right, width } = it.getBoundingClientRect();
        return width && (left < 0 || right > innerWidth + 0.5);
    })";
    let cut = "[...document.querySelectorAll('h1, h2, h4, p, dd, span, strong, button')]
        .filter((it) => it.clientWidth && it.scrollWidth > it.clientWidth)";
    for width in [320, 360, 390, 768, 1280] {
        see_all(&browser, width).await;
        let window = browser.evaluate("innerWidth").await.unwrap();
        assert_eq!(window, width);
        for wrong in [outside, cut] {
            let shown = format!("{wrong}.map((it) => it.outerHTML.slice(0, 200))");
            let shown = browser.evaluate(&shown).await.unwrap();
            assert_eq!(shown, json!([]), "{width}");
        }
    }
    assert_quiet(&browser, &stage.gateway);
}

/// Parts of names that break across lines.
const BROKEN: &str = "(() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    const broken = [];
    while (walker.nextNode()) {
        if (walker.currentNode.parentNode.title !== 'resource') continue;
        range.selectNodeContents(walker.currentNode);
        if (range.getClientRects().length > 1) broken.push(walker.currentNode.data);
    }
    return broken;
})()";

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_wraps_only_between_its_words() {
    let stage = Stage::start(ENVOY).await.up().await;
    for path in ["/api/v2/ad_hoc_commands/1/relaunch/", "/api/v2/workflow_job_templates/1/launch/"]
    {
        stage.prometheus().request(Method::POST, path, "{}").await.unwrap();
    }
    let browser = opened(&stage).await;
    let names =
        "[...document.querySelectorAll('[title=resource]')].map((name) => name.textContent)";
    for width in [320, 390, 768, 1024, 1280, 1920] {
        see_all(&browser, width).await;
        let names = browser.evaluate(names).await.unwrap();
        for name in ["ad_hoc_commands/relaunch", "workflow_job_templates/launch"] {
            assert!(names.as_array().unwrap().contains(&json!(name)), "{names}");
        }
        assert_eq!(browser.evaluate(BROKEN).await.unwrap(), json!([]), "{width}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_field_names_its_key_except_on_a_phone() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = admin().await;
    let placeholder = "document.getElementById('filter').placeholder";
    browser.resize(390, 800).await.unwrap();
    open(&browser, &stage.gateway).await;
    assert_eq!(browser.evaluate(placeholder).await.unwrap(), "Filter");
    browser.resize(1280, 800).await.unwrap();
    open(&browser, &stage.gateway).await;
    browser.until(placeholder, |shown| shown == "Filter: press /").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_respects_the_preferences_for_dark_colors_and_reduced_motion() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let style = |name: &str| format!("getComputedStyle(document.getElementById('tiles')).{name}");
    let ground = "getComputedStyle(document.body).backgroundColor";
    for (scheme, color) in [("light", "rgb(245, 246, 244)"), ("dark", "rgb(17, 20, 22)")] {
        browser.prefer(&[("prefers-color-scheme", scheme)]).await.unwrap();
        assert_eq!(browser.evaluate(ground).await.unwrap(), color);
    }
    assert_eq!(browser.evaluate(&style("transitionDuration")).await.unwrap(), "0.3s");
    browser.prefer(&[("prefers-reduced-motion", "reduce")]).await.unwrap();
    assert_eq!(browser.evaluate(&style("transitionDuration")).await.unwrap(), "0s");
}

/// The contrast of each text color with each of its backgrounds, by WCAG 2.
const CONTRASTS: &str = "(() => {
    const probe = document.body.appendChild(document.createElement('i'));
    const light = (name) => {
        probe.style.color = `var(--${name})`;
        const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => part > 0.04045 ? ((part + 0.055) / 1.055) ** 2.4 : part / 12.92);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const pairs = ['ink', 'soft', 'accent', 'good', 'warn', 'bad'].flatMap((text) =>
        ['ground', 'card'].map((ground) => [light(text), light(ground)].sort((a, b) => b - a)));
    probe.remove();
    return pairs.map(([lighter, darker]) => lighter / darker);
})()";

#[tokio::test(flavor = "multi_thread")]
async fn every_text_color_has_enough_contrast_in_light_and_dark() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    for scheme in ["light", "dark"] {
        browser.prefer(&[("prefers-color-scheme", scheme)]).await.unwrap();
        let contrasts = browser.evaluate(CONTRASTS).await.unwrap();
        let contrasts: Vec<f64> = serde_json::from_value(contrasts).unwrap();
        assert_eq!(contrasts.len(), 12);
        assert!(contrasts.iter().all(|&contrast| contrast >= 4.5), "{scheme}: {contrasts:?}");
    }
}
