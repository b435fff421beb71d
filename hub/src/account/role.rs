//! Roles and what they may: data, so that the table of the documentation, the checks and the tests are one thing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides what waits.
    Moderator,
    /// Decides appeals and what was escalated, and keeps the hash lists.
    SeniorModerator,
    /// Looks at numbers and verdicts, never at content.
    Analyst,
    /// Answers platforms: looks things up, asks for erasure.
    Support,
    /// Runs fleet and accounts.
    Admin,
    /// Watches the fleet.
    Observer,
}

/// Something that one may or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// One's own account, and the front page.
    Own,
    /// To see the queue and claim, comment, escalate and decide what waits.
    Review,
    /// To decide what was escalated, what concerns the safety of children, and appeals; to take back what others decided.
    Senior,
    /// To see what people wrote and posted.
    Content,
    /// To look up verdicts.
    Verdicts,
    /// To see numbers over all.
    Numbers,
    /// To see boxes and what they were told.
    Fleet,
    /// To run boxes: drain, activate, ask for revocation.
    Operate,
    /// To see hash lists.
    Lists,
    /// To change hash lists.
    ListsChange,
    /// To see policies and try others on what was seen.
    Policies,
    /// To put policies in force.
    PoliciesChange,
    /// To read the audit journal, and take it out.
    Audit,
    /// To ask for erasure.
    Erase,
    /// To invite people and say what they may.
    Accounts,
    /// To settle what takes two people.
    Approve,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Moderator,
        Self::SeniorModerator,
        Self::Analyst,
        Self::Support,
        Self::Admin,
        Self::Observer,
    ];

    /// What it may.
    pub fn rights(self) -> &'static [Right] {
        use Right::*;
        match self {
            Self::Moderator => &[Own, Review, Content, Verdicts, Lists, Policies],
            Self::SeniorModerator => &[
                Own,
                Review,
                Senior,
                Content,
                Verdicts,
                Numbers,
                Fleet,
                Lists,
                ListsChange,
                Policies,
                Approve,
            ],
            Self::Analyst => &[Own, Verdicts, Numbers, Lists, Policies, Audit],
            Self::Support => &[Own, Verdicts, Numbers, Fleet, Erase],
            // Whoever runs the machines need not see what people posted.
            Self::Admin => &[
                Own,
                Verdicts,
                Numbers,
                Fleet,
                Operate,
                Lists,
                Policies,
                PoliciesChange,
                Audit,
                Erase,
                Accounts,
                Approve,
            ],
            Self::Observer => &[Own, Numbers, Fleet, Lists, Policies],
        }
    }

    /// Whether it may.
    pub fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }

    /// As stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Moderator => "moderator",
            Self::SeniorModerator => "senior_moderator",
            Self::Analyst => "analyst",
            Self::Support => "support",
            Self::Admin => "admin",
            Self::Observer => "observer",
        }
    }

    /// As people read it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Moderator => "Moderator",
            Self::SeniorModerator => "Senior moderator",
            Self::Analyst => "Analyst",
            Self::Support => "Support",
            Self::Admin => "Admin",
            Self::Observer => "Observer (read only)",
        }
    }
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Own,
        Self::Review,
        Self::Senior,
        Self::Content,
        Self::Verdicts,
        Self::Numbers,
        Self::Fleet,
        Self::Operate,
        Self::Lists,
        Self::ListsChange,
        Self::Policies,
        Self::PoliciesChange,
        Self::Audit,
        Self::Erase,
        Self::Accounts,
        Self::Approve,
    ];

    /// As people read it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Own => "use one's own account",
            Self::Review => "decide what waits",
            Self::Senior => "decide appeals, escalations and child safety; undo others' decisions",
            Self::Content => "see content",
            Self::Verdicts => "look up verdicts",
            Self::Numbers => "see numbers",
            Self::Fleet => "see boxes",
            Self::Operate => "run boxes",
            Self::Lists => "see hash lists",
            Self::ListsChange => "change hash lists",
            Self::Policies => "see and try policies",
            Self::PoliciesChange => "put policies in force",
            Self::Audit => "read and export the audit journal",
            Self::Erase => "ask for erasure",
            Self::Accounts => "manage accounts",
            Self::Approve => "approve what takes two people",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|role| role.as_str()).collect();
            format!("`{word}` is no role: write one of {}", all.join(", "))
        })
    }
}
