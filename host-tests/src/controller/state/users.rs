//! The captured instance's users and tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::controller::secrets;

#[derive(Clone, Debug)]
pub(in crate::controller) struct User {
    pub(in crate::controller) id: u32,
    pub(in crate::controller) name: &'static str,
    pub(in crate::controller) password: &'static str,
    pub(in crate::controller) email: &'static str,
    pub(in crate::controller) ansible_id: &'static str,
    pub(in crate::controller) created: SystemTime,
    pub(in crate::controller) is_superuser: bool,
    pub(in crate::controller) is_system_auditor: bool,
    pub(in crate::controller) active: bool,
    pub(in crate::controller) last_login: Option<SystemTime>,
}

/// admin, auditor, bob and disabled as in the captures; the others have unusual passwords.
pub(in crate::controller) fn users() -> Vec<User> {
    let admin = User {
        is_superuser: true,
        email: "admin@example.com",
        ..user(1, "admin", "password", ("708ff2da-9106-497e-bd35-8d38900cf0ff", 361_762))
    };
    let auditor = User {
        is_system_auditor: true,
        ..user(2, "auditor", "auditorpass", ("5edfba29-41b5-4080-8869-5cad4cc8971c", 791_855))
    };
    let bob = user(3, "bob", "bobpass", ("ab457530-307a-4108-b3f8-5e2cb179db4f", 1_007_309));
    let disabled = User {
        active: false,
        ..user(4, "disabled", "disabledpass", ("0b7d1f0c-6f0e-4a58-9d0b-3b0b7a0f3d04", 1_220_000))
    };
    let colon = user(5, "colon", "pa:ss:word", ("2f6a8f3e-53a7-4f0e-8f4e-9a2c5d1b7e05", 1_440_000));
    let umlaut = user(6, "umlüut", "päss", ("c4d9e6b2-7a31-4c58-b6f0-1e8d2a9c4f06", 1_660_000));
    vec![admin, auditor, bob, disabled, colon, umlaut]
}

/// The last argument is the platform's id of the user, and its creation in microseconds after the instance's first
/// second.
fn user(
    id: u32,
    name: &'static str,
    password: &'static str,
    (ansible_id, created): (&'static str, u64),
) -> User {
    let first = UNIX_EPOCH + Duration::from_secs(1_795_372_607);
    User {
        id,
        name,
        password,
        email: "",
        ansible_id,
        created: first + Duration::from_micros(created),
        is_superuser: false,
        is_system_auditor: false,
        active: true,
        last_login: None,
    }
}

/// The scope of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Scope {
    Read,
    Write,
}

impl Scope {
    pub(in crate::controller) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::controller) struct Token {
    pub(in crate::controller) id: u32,
    pub(in crate::controller) user: u32,
    pub(in crate::controller) secret: String,
    pub(in crate::controller) scope: Scope,
    pub(in crate::controller) description: String,
    pub(in crate::controller) created: SystemTime,
    expired: bool,
}

/// The OAuth2 tokens.
#[derive(Debug)]
pub(in crate::controller) struct Tokens {
    tokens: Vec<Token>,
    next: u32,
}

impl Tokens {
    pub(in crate::controller) fn captured() -> Self {
        let mut tokens = Self { tokens: Vec::new(), next: 1 };
        tokens.add(1, "AdminTokenRead0000000000000001", Scope::Read);
        tokens.add(1, "AdminTokenWrite000000000000001", Scope::Write);
        tokens.add(2, "AuditorTokenRead00000000000001", Scope::Read);
        tokens.add(3, "BobTokenWrite00000000000000001", Scope::Write);
        tokens.add(1, "AdminTokenExpired0000000000001", Scope::Write).expired = true;
        tokens
    }

    /// Creates a token of 30 characters.
    pub(in crate::controller) fn create(
        &mut self,
        user: u32,
        scope: Scope,
        description: &str,
    ) -> &Token {
        let token = self.add(user, &secrets::alphanumeric(30), scope);
        description.clone_into(&mut token.description);
        token
    }

    pub(in crate::controller) fn add(
        &mut self,
        user: u32,
        secret: &str,
        scope: Scope,
    ) -> &mut Token {
        let token = Token {
            id: self.next,
            user,
            secret: secret.to_owned(),
            scope,
            description: String::new(),
            created: SystemTime::now(),
            expired: false,
        };
        self.next += 1;
        self.tokens.push(token);
        self.tokens.last_mut().expect("just pushed")
    }

    /// The token with this secret, unless it has expired.
    pub(in crate::controller) fn with_secret(&self, secret: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.secret == secret && !token.expired)
    }

    pub(in crate::controller) fn with_id(&self, id: u32) -> Option<&Token> {
        self.tokens.iter().find(|token| token.id == id)
    }

    pub(in crate::controller) fn of(&self, user: u32) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |token| token.user == user)
    }

    pub(in crate::controller) fn revoke(&mut self, id: u32) {
        self.tokens.retain(|token| token.id != id);
    }
}
