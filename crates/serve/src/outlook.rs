use sluicegate_answer::{
    FETCH_AHEAD, Packets, Repeated, Request, Sighting, Verdict, answer_and_learn, answer_known,
};

use crate::decide::{Looked, Moment};

/// What a UDP worker sees of the queries that it answers next, `N` at most, and the replies that it remembers.
///
/// The queries of a batch have numbers. All are [looked](Outlook::look) at and [fetched](Outlook::fetch) for, then
/// each is [decided](Outlook::decide).
pub(crate) struct Outlook<const N: usize> {
    queries: Box<[Seen; N]>,
    /// How many of them there are.
    count: usize,
    packets: Packets,
}

struct Seen {
    sighting: Sighting,
    /// Of a query whose reply is known, this says nothing.
    looked: Looked,
}

impl Seen {
    const NOTHING: Self = Self {
        sighting: Sighting::New,
        looked: Looked::NOTHING,
    };
}

impl<const N: usize> Outlook<N> {
    /// Nothing seen and nothing remembered.
    pub(crate) fn new() -> Self {
        Self {
            queries: Box::new([const { Seen::NOTHING }; N]),
            count: 0,
            packets: Packets::new(),
        }
    }

    /// Looks at a query.
    pub(crate) fn look(&mut self, moment: &Moment<'_>, number: usize, query: &[u8]) {
        let seen = &mut self.queries[number];
        seen.sighting = moment.sight(&mut self.packets, query);
        if !matches!(seen.sighting, Sighting::Known(_)) {
            moment.look(query, &mut seen.looked);
        }
    }

    /// All `count` queries were looked at: fetches from memory what their answers need first, and what the first of them
    /// need then.
    pub(crate) fn fetch(&mut self, moment: &Moment<'_>, count: usize) {
        self.count = count;
        if count < 2 {
            return; // it is fetched when it is decided, just as soon
        }
        let unknown = self.queries[..count]
            .iter()
            .filter(|seen| !matches!(seen.sighting, Sighting::Known(_)));
        moment.gather(unknown.map(|seen| &seen.looked));
        for number in 0..count.min(FETCH_AHEAD) {
            self.fetch_one(moment, number);
        }
    }

    fn fetch_one(&self, moment: &Moment<'_>, number: usize) {
        if let Some(seen) = self.queries[..self.count].get(number)
            && !matches!(seen.sighting, Sighting::Known(_))
        {
            moment.fetch(&seen.looked);
        }
    }

    /// Decides the query in `buf[..query_len]`, which has not changed since it was looked at.
    pub(crate) fn decide(
        &mut self,
        moment: &Moment<'_>,
        number: usize,
        request: &Request,
        (buf, query_len): (&mut [u8], usize),
    ) -> Verdict {
        self.fetch_one(moment, number + FETCH_AHEAD);
        let Seen { sighting, looked } = &self.queries[number];
        match *sighting {
            Sighting::Known(ticket) => moment.ask(|context| {
                answer_known(context, (&self.packets, ticket), request, buf, query_len)
            }),
            Sighting::Repeated(ticket) if looked.is_sound() => moment.ask(|context| {
                let repeated = Repeated {
                    prepared: looked.prepared(),
                    packets: &mut self.packets,
                    ticket,
                };
                answer_and_learn(context, repeated, request, buf, query_len)
            }),
            _ => moment.decide(looked, request, buf, query_len),
        }
    }
}
