use std::ops::ControlFlow;

use sluicegate_conf::AccessAction;
use sluicegate_dns::{
    Ede, HEADER_BYTES, Query, QueryError, RenderOptions, Rendered, Stored, class, rcode, render,
    rotate_addresses, rtype, write_error, write_rcode,
};
use sluicegate_telemetry::{Counter, DropReason};

use crate::acl::Client;
use crate::alias::Alias;
use crate::local::{LocalAnswer, LocalPlace};
use crate::{Context, Request, Transport};

/// What becomes of a query.
pub(crate) enum Decision<'a> {
    /// The reply stands in the buffer, so many bytes long.
    Reply(usize),
    Drop(DropReason),
    /// To be resolved, perhaps under the name that a local CNAME leads to.
    Resolve {
        alias: Option<Alias<'a>>,
        /// There is an expired answer.
        stale: bool,
    },
}

/// A stored answer that was found, and how old it is.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) stored: Stored<'a>,
    pub(crate) age_secs: u32,
}

/// One query and the rules that hold for its client.
pub(crate) struct Exchange<'a> {
    pub(crate) context: &'a Context<'a>,
    request: &'a Request,
    action: AccessAction,
}

impl<'a> Exchange<'a> {
    #[inline]
    pub(crate) fn new(context: &'a Context<'a>, request: &'a Request) -> Self {
        Self {
            context,
            request,
            action: context.policy.acl.action(request.client.ip()),
        }
    }

    /// Lets a query in, or says what becomes of it.
    #[inline]
    pub(crate) fn admit<'q>(
        &self,
        query: Result<&'q Query, &QueryError>,
        buf: &mut [u8],
        query_len: usize,
    ) -> ControlFlow<Decision<'a>, &'q Query> {
        if self.request.client.port() == 0 {
            return ControlFlow::Break(Decision::Drop(DropReason::Malformed)); // no reply can be sent there
        }
        match self.action {
            AccessAction::Deny => return ControlFlow::Break(Decision::Drop(DropReason::Denied)),
            AccessAction::Refuse => {
                return ControlFlow::Break(match query {
                    Ok(query) if has_room(query, buf) => self.prohibit(query, buf, query_len),
                    _ => self.refuse_bare(buf, query_len),
                });
            }
            _ => {}
        }
        let query = match query {
            Ok(query) if has_room(query, buf) => query,
            Ok(_) => return ControlFlow::Break(Decision::Drop(DropReason::Malformed)),
            Err(error) => return ControlFlow::Break(self.report(error, buf)),
        };
        match query.qtype {
            rtype::AXFR | rtype::IXFR => {
                ControlFlow::Break(self.echo(rcode::REFUSED, Counter::Refused, buf, query_len))
            }
            _ if is_meta(query.qtype) => {
                ControlFlow::Break(self.echo(rcode::FORMERR, Counter::QueryErrors, buf, query_len))
            }
            _ => ControlFlow::Continue(query),
        }
    }

    /// Whether no rule but those of the cache has a say in the answer to this query, if RD is set.
    #[inline]
    pub(crate) fn is_plain(&self, query: &Query, place: Option<LocalPlace>, buf: &[u8]) -> bool {
        self.action == AccessAction::Allow
            && query.qclass == class::IN
            && is_data(query.qtype)
            && self.request.client.port() != 0
            && has_room(query, buf)
            && place.is_none()
    }

    /// Answers from CHAOS and local data, or says under which name to go on.
    #[inline]
    pub(crate) fn local(
        &self,
        query: &Query,
        place: Option<LocalPlace>,
        buf: &mut [u8],
    ) -> ControlFlow<Decision<'a>, Option<Alias<'a>>> {
        let policy = self.context.policy;
        if let Some(stored) = policy.chaos.find(query) {
            return ControlFlow::Break(self.local_reply(&stored, query, buf));
        }
        let name = query.name.as_bytes();
        let question = [query.qtype, query.qclass];
        ControlFlow::Break(
            match policy.local.find(name, question, place, self.client()) {
                LocalAnswer::None => return ControlFlow::Continue(None),
                LocalAnswer::Alias(alias) if alias.fits(&query.name) => {
                    return ControlFlow::Continue(Some(alias));
                }
                LocalAnswer::Alias(_) => self.too_long(query, buf),
                LocalAnswer::Records(stored) => self.local_reply(stored, query, buf),
                LocalAnswer::Negative { stored, apex_len } => {
                    let decision = self.local_reply(stored, query, buf);
                    point_to_apex(query, apex_len, buf);
                    decision
                }
                LocalAnswer::Empty(code) => self.local_code(code, query, buf),
                LocalAnswer::Drop => Decision::Drop(DropReason::LocalDeny),
            },
        )
    }

    pub(crate) fn client(&self) -> Client<'a> {
        Client {
            address: &self.request.client,
            known: self.context.policy.clients.as_ref(),
        }
    }

    /// The alias that a client waits behind.
    pub(crate) fn alias(&self, query: &Query) -> Option<Alias<'a>> {
        let name = query.name.as_bytes();
        match self
            .context
            .policy
            .local
            .find(name, [query.qtype, query.qclass], None, self.client())
        {
            LocalAnswer::Alias(alias) => Some(alias),
            _ => None,
        }
    }

    /// Refuses clients that may have local data only, or may not ask without RD, and what nobody can
    /// find out.
    #[inline]
    pub(crate) fn refuse_recursion(&self, query: &Query, buf: &mut [u8]) -> Option<Decision<'a>> {
        match self.action {
            AccessAction::DenyNonLocal => return Some(Decision::Drop(DropReason::Denied)),
            AccessAction::RefuseNonLocal => return Some(self.prohibit(query, buf, HEADER_BYTES)),
            // Without cookies only a stream proves who the client is: tell it to come back over one.
            AccessAction::AllowCookie if self.request.transport == Transport::Udp => {
                let len = self.code(rcode::NOERROR, query, buf);
                buf[2] |= TC;
                self.count(Counter::Truncated);
                return Some(Decision::Reply(len));
            }
            _ => {}
        }
        if !query.rd && self.action != AccessAction::AllowSnoop {
            return Some(self.refuse_explained(query, NOT_AUTHORITATIVE, buf));
        }
        // There is no recursion for other classes: no hints, no forward-zone, no stub-zone can name one.
        if !matches!(query.qclass, class::IN | class::ANY) {
            return Some(self.refuse(query, buf));
        }
        if self.context.policy.limits.deny_any && query.qtype == rtype::ANY {
            return Some(Decision::Reply(self.code(rcode::NOTIMP, query, buf)));
        }
        None
    }

    /// Whether RD counts as set though it is not: where access control says so.
    pub(crate) fn sets_recursion(&self, query: &Query) -> bool {
        !query.rd && self.action == AccessAction::AllowSetrd
    }

    /// REFUSED, with the question.
    #[inline(never)]
    pub(crate) fn refuse(&self, query: &Query, buf: &mut [u8]) -> Decision<'a> {
        self.count(Counter::Refused);
        Decision::Reply(self.code(rcode::REFUSED, query, buf))
    }

    /// SERVFAIL; its length.
    #[inline(never)]
    pub(crate) fn fail(&self, query: &Query, buf: &mut [u8]) -> usize {
        self.code(rcode::SERVFAIL, query, buf)
    }

    /// A response code with the reason for it, if reasons are given.
    #[inline(never)]
    pub(crate) fn explain(&self, code: u16, ede: Ede<'_>, query: &Query, buf: &mut [u8]) -> usize {
        let explains = self.context.policy.limits.explains_failures();
        let options = RenderOptions {
            ede: explains.then_some(ede),
            ..self.render_options(query, 0)
        };
        write_rcode(buf, query, code, &options)
    }

    /// How a reply to this client is made, from an answer of this age.
    #[inline]
    pub(crate) fn render_options(&self, query: &Query, age_secs: u32) -> RenderOptions<'_> {
        let limits = &self.context.policy.limits;
        limits.render_options(query, self.request, age_secs)
    }

    /// Writes a stored answer, behind the local CNAME that led to it if there is one; its length.
    #[expect(
        clippy::inline_always,
        reason = "with and without an alias it is two functions, of which one is hot"
    )]
    #[inline(always)]
    pub(crate) fn write(
        &self,
        found: Found<'_>,
        query: &Query,
        alias: Option<&Alias<'_>>,
        buf: &mut [u8],
    ) -> usize {
        let Found { stored, age_secs } = found;
        let options = self.render_options(query, age_secs);
        let Rendered { len, truncated } = match alias {
            None => render(stored, query, buf, &options),
            Some(alias) => alias.render(stored, query, buf, &options),
        };
        if truncated {
            self.count(Counter::Truncated);
        } else if stored.counts()[0] > 1 && alias.is_none() {
            self.rotate(stored, query, buf);
        }
        len
    }

    /// Turns the addresses of an answer if that is wanted.
    #[inline]
    pub(crate) fn rotate(&self, stored: Stored<'_>, query: &Query, buf: &mut [u8]) {
        if self.context.policy.limits.rotates {
            rotate(stored, HEADER_BYTES + query.question_len, buf);
        }
    }

    /// The reply to what is no good query; `None`: silence.
    pub(crate) fn write_error(&self, error: &QueryError, buf: &mut [u8]) -> Option<usize> {
        write_error(buf, error, self.context.policy.limits.udp_size())
    }

    #[inline(never)]
    fn report(&self, error: &QueryError, buf: &mut [u8]) -> Decision<'a> {
        match self.write_error(error, buf) {
            Some(len) => {
                self.count(Counter::QueryErrors);
                Decision::Reply(len)
            }
            None => Decision::Drop(silence(error)),
        }
    }

    #[inline(never)]
    fn local_reply(&self, stored: &[u8], query: &Query, buf: &mut [u8]) -> Decision<'a> {
        let Some(stored) = Stored::new(stored) else {
            return Decision::Reply(self.fail(query, buf));
        };
        self.count(Counter::LocalAnswers);
        Decision::Reply(self.write(
            Found {
                stored,
                age_secs: 0,
            },
            query,
            None,
            buf,
        ))
    }

    /// A local answer without records: AA is set.
    #[inline(never)]
    fn local_code(&self, code: u16, query: &Query, buf: &mut [u8]) -> Decision<'a> {
        self.count(Counter::LocalAnswers);
        let len = self.code(code, query, buf);
        buf[2] |= AA;
        Decision::Reply(len)
    }

    /// YXDOMAIN, and where that is asked for the reason: a redirect made the name too long.
    #[inline(never)]
    fn too_long(&self, query: &Query, buf: &mut [u8]) -> Decision<'a> {
        if !self.context.policy.limits.explains_refusals() {
            return self.local_code(YXDOMAIN, query, buf);
        }
        self.count(Counter::LocalAnswers);
        let ede = Ede {
            code: OTHER,
            text: "the redirect makes the name too long",
        };
        let len = self.explain(YXDOMAIN, ede, query, buf);
        buf[2] |= AA;
        Decision::Reply(len)
    }

    #[inline(never)]
    fn code(&self, code: u16, query: &Query, buf: &mut [u8]) -> usize {
        write_rcode(buf, query, code, &self.render_options(query, 0))
    }

    /// REFUSED, with the question and, where that is asked for, the reason.
    #[inline(never)]
    fn refuse_explained(&self, query: &Query, code: u16, buf: &mut [u8]) -> Decision<'a> {
        if !self.context.policy.limits.explains_refusals() {
            return self.refuse(query, buf);
        }
        self.count(Counter::Refused);
        let ede = Ede { code, text: "" };
        Decision::Reply(self.explain(rcode::REFUSED, ede, query, buf))
    }

    /// REFUSED for those whom access control turns away.
    fn prohibit(&self, query: &Query, buf: &mut [u8], query_len: usize) -> Decision<'a> {
        if query.edns.is_none() || !self.context.policy.limits.explains_refusals() {
            return self.refuse_bare(buf, query_len);
        }
        let decision = self.refuse_explained(query, PROHIBITED, buf);
        buf[3] &= !RA;
        decision
    }

    /// REFUSED as a header alone, whatever else the message holds: as Unbound answers those whom access
    /// control turns away.
    #[inline(never)]
    fn refuse_bare(&self, buf: &mut [u8], query_len: usize) -> Decision<'a> {
        let Some(header) = buf[..query_len].first_chunk_mut::<HEADER_BYTES>() else {
            return Decision::Drop(DropReason::Short);
        };
        if header[2] & QR != 0 {
            return Decision::Drop(DropReason::Response);
        }
        header[2] = (header[2] | QR) & !TC;
        header[3] = header[3] & !RCODE | rcode::REFUSED as u8;
        header[4..].fill(0);
        self.count(Counter::Refused);
        Decision::Reply(HEADER_BYTES)
    }

    /// The message itself with QR and a response code: Unbound's answer to types that are no questions.
    #[inline(never)]
    fn echo(&self, code: u16, counter: Counter, buf: &mut [u8], query_len: usize) -> Decision<'a> {
        buf[2] |= QR;
        buf[3] = buf[3] & !RCODE | code as u8;
        self.count(counter);
        Decision::Reply(query_len)
    }

    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.context.counters.count(counter);
    }
}

/// Whether the buffer holds any reply: header, question, and the largest OPT record.
#[inline]
pub(crate) fn has_room(query: &Query, buf: &[u8]) -> bool {
    buf.len() >= HEADER_BYTES + query.question_len + MAX_OPT_BYTES
}

/// Turns the addresses of an answer by the query's ID, as Unbound does: whoever asks again gets another one first, and
/// yet the same query the same reply, however it came.
#[cold]
#[inline(never)]
pub(crate) fn rotate(stored: Stored<'_>, body_at: usize, buf: &mut [u8]) {
    let by = u16::from_be_bytes([buf[0], buf[1]]);
    if let Some(body) = buf.get_mut(body_at..) {
        rotate_addresses(stored, body, by.into());
    }
}

/// Whether this type asks for data of that very type.
#[inline]
pub(crate) fn is_data(qtype: u16) -> bool {
    qtype < FIRST_META && qtype != rtype::OPT
}

/// The first of the types behind those of data (RFC 6895, 3.1).
const FIRST_META: u16 = 128;

/// Types that ask for something other than data: OPT, and all from 128 up but ANY and those that are
/// assigned behind it (RFC 6895, 3.1). Transfers are refused before.
#[inline]
fn is_meta(qtype: u16) -> bool {
    qtype == rtype::OPT || (FIRST_META..=254).contains(&qtype)
}

fn silence(error: &QueryError) -> DropReason {
    match error {
        QueryError::Short => DropReason::Short,
        QueryError::Response => DropReason::Response,
        _ => DropReason::Malformed,
    }
}

/// The SOA record of a negative answer belongs to the zone, whose name is the end of the question's: the
/// stored answer points to the whole of it.
fn point_to_apex(query: &Query, apex_len: u8, buf: &mut [u8]) {
    let has_authority = buf[8..10] != [0, 0];
    if has_authority {
        let apex = HEADER_BYTES + query.name.as_bytes().len() - usize::from(apex_len);
        let owner = HEADER_BYTES + query.question_len;
        buf[owner..owner + 2].copy_from_slice(&(POINTER | apex as u16).to_be_bytes());
    }
}

/// INFO-CODEs of RFC 8914.
const PROHIBITED: u16 = 18;
const NOT_AUTHORITATIVE: u16 = 20;
const OTHER: u16 = 0;
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RA: u8 = 0x80;
const RCODE: u8 = 0x0f;
const POINTER: u16 = 0xc000;
/// A redirect made the name too long (RFC 6672, 2.2).
const YXDOMAIN: u16 = 6;
/// Our largest OPT record: 11 bytes, an extended error with its text, a keep-alive, an identifier.
const MAX_OPT_BYTES: usize = 292;
