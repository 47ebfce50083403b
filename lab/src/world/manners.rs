use crate::wire::{Message, Record, encode_name, rcode, read_name, rtype};

/// How a name server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// As it should.
    Good,
    /// As it should, and its queries are counted.
    Watched,
    /// It knows nothing of the zone: REFUSED.
    Lame,
    /// It answers as a resolver would: without AA, with RA.
    NotAuthoritative,
    /// It is gone: its host says that nobody listens (ICMP).
    Gone,
    /// It never answers, over UDP or TCP.
    Silent,
    /// It answers that many milliseconds late.
    Slow(u16),
    /// Over UDP it only says TC.
    Truncates,
    /// Over UDP nobody listens.
    TcpOnly,
    /// FORMERR to queries with EDNS (RFC 6891, 7).
    NoEdns,
    /// Silence to queries with EDNS.
    DropsEdns,
    /// Its answers have no signatures and no proofs any more.
    Strips,
    /// Forged answers with other IDs and from another port come before its own, and its own hold data of others.
    Spoofed,
    /// Answers to other questions come before its own, with the right ID. Who can send them sees the query: a resolver may
    /// fail then, but not believe them.
    WrongQuestions,
}

/// What a front does with a query over UDP.
pub(super) enum Turn {
    /// Sends these messages in their order, after that many milliseconds.
    Send(Vec<(Vec<u8>, From)>, u16),
    Silence,
}

/// Where a front sends a message from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Where the query came to.
    Here,
    OtherPort,
    OtherAddress,
}

/// The address in every forged record; nobody may ever be told it.
pub const FORGED: [u8; 4] = [203, 0, 113, 66];
/// The zones that forged records are of, besides the one that is asked for.
const VICTIMS: [&str; 2] = ["victim.plain", "good.alpha"];
/// How many wrong IDs are tried; the product with the step between them stays below 65,536.
const GUESSES: u16 = 16;
const FORGED_TTL_SECS: u32 = 86_400;
const TYPE_NSEC3: u16 = 50;

impl Manners {
    /// Whether Knot itself can't behave so.
    pub(super) fn needs_front(self) -> bool {
        self != Self::Good
    }

    /// Whether it listens for UDP and for TCP.
    pub(super) fn listens(self) -> (bool, bool) {
        match self {
            Self::Gone => (false, false),
            Self::TcpOnly => (false, true),
            _ => (true, true),
        }
    }

    /// Whether it answers from the zone at all.
    pub(super) fn knows_zone(self) -> bool {
        !matches!(self, Self::Gone | Self::Silent | Self::Lame)
    }

    /// What it sends on `query`, over UDP or else TCP; `answer` is what Knot says.
    pub(super) fn play(self, query: &[u8], answer: Option<Vec<u8>>, udp: bool) -> Turn {
        let has_edns = Message::parse(query).is_ok_and(|query| query.edns.is_some());
        let answer = match self {
            Self::Silent => None,
            Self::DropsEdns if has_edns => None,
            Self::Lame => Some(bare(query, rcode::REFUSED, 0)),
            Self::NoEdns if has_edns => Some(bare(query, rcode::FORMERR, 0)),
            Self::Truncates if udp => Some(bare(query, rcode::NOERROR, 0x02)),
            _ => answer,
        };
        let Some(answer) = answer else {
            return Turn::Silence;
        };
        match self {
            Self::Slow(millis) => Turn::Send(vec![(answer, From::Here)], millis),
            Self::NotAuthoritative => Turn::Send(vec![(without_authority(answer), From::Here)], 0),
            Self::Strips => Turn::Send(vec![(strip(answer), From::Here)], 0),
            Self::Spoofed if udp => Turn::Send(spoof(query, &answer), 0),
            Self::WrongQuestions if udp => Turn::Send(misask(&answer), 0),
            _ => Turn::Send(vec![(answer, From::Here)], 0),
        }
    }
}

/// A message with the question of `query` and nothing else.
fn bare(query: &[u8], code: u16, more_flags: u8) -> Vec<u8> {
    let end = read_name(query, 12).map_or(12, |(_, end)| (end + 4).min(query.len()));
    let mut message = query[..end].to_vec();
    message[2] = 0x80 | query[2] & 0x01 | more_flags;
    message[3] = u8::try_from(code).expect("the codes used here fit the header");
    message[4..12].copy_from_slice(&[0, u8::from(end > 12), 0, 0, 0, 0, 0, 0]);
    message
}

fn without_authority(mut answer: Vec<u8>) -> Vec<u8> {
    answer[2] &= !0x04;
    answer[3] |= 0x80;
    answer
}

/// The answer as if the zone weren't signed.
fn strip(answer: Vec<u8>) -> Vec<u8> {
    let Ok(mut message) = Message::parse(&answer) else {
        return answer;
    };
    let kept = |record: &Record| !matches!(record.rtype, rtype::RRSIG | rtype::NSEC | TYPE_NSEC3);
    message.answer.retain(kept);
    message.authority.retain(kept);
    message.additional.retain(kept);
    message.build()
}

/// What an attacker might send who is faster than the server but doesn't see the query, and then the server's own answer,
/// which isn't honest either.
fn spoof(query: &[u8], answer: &[u8]) -> Vec<(Vec<u8>, From)> {
    let Some((right, forged)) = forge(answer) else {
        return vec![(answer.to_vec(), From::Here)];
    };
    let guess = |number: u16| {
        let mut guess = forged.clone();
        guess.id = guess.id.wrapping_add(number * 251);
        (guess.build(), From::Here)
    };
    let mut is_query = query.to_vec();
    is_query.truncate(12);
    is_query[0] ^= 0x5a;
    let mut messages: Vec<_> = (1..=GUESSES).map(guess).collect();
    messages.extend([
        (forged.build(), From::OtherPort),
        (forged.build(), From::OtherAddress),
        (is_query, From::Here),
        (poisoned(right).build(), From::Here),
    ]);
    messages
}

/// Answers to other questions, and then the server's own.
fn misask(answer: &[u8]) -> Vec<(Vec<u8>, From)> {
    let Some((_, forged)) = forge(answer) else {
        return vec![(answer.to_vec(), From::Here)];
    };
    let victim = encode_name("www.victim.plain");
    let mut wrong_name = forged.clone();
    wrong_name.questions[0].0.clone_from(&victim);
    wrong_name.answer = vec![address(&victim)];
    let mut wrong_type = forged.clone();
    wrong_type.questions[0].1 ^= 1;
    let mut no_question = forged;
    no_question.questions.clear();
    vec![
        (wrong_name.build(), From::Here),
        (wrong_type.build(), From::Here),
        (no_question.build(), From::Here),
        (answer.to_vec(), From::Here),
    ]
}

/// An answer, and one like it with a forged address.
fn forge(answer: &[u8]) -> Option<(Message, Message)> {
    let right = Message::parse(answer).ok()?;
    let (name, ..) = right.questions.first()?;
    let mut forged = right.clone();
    forged.flags = 0x8400 | right.flags & 0x0100;
    forged.authority.clear();
    forged.answer = vec![address(name)];
    Some((right, forged))
}

/// An answer that tells of zones that its server has no say in.
fn poisoned(mut answer: Message) -> Message {
    for victim in VICTIMS {
        let host = encode_name(&format!("www.{victim}"));
        let name_server = encode_name(&format!("ns.{victim}"));
        answer.answer.push(address(&host));
        answer.authority.push(Record {
            name: encode_name(victim),
            rtype: rtype::NS,
            class: 1,
            ttl_secs: FORGED_TTL_SECS,
            rdata: name_server.clone(),
        });
        answer.additional.push(address(&name_server));
        answer.additional.push(address(&host));
    }
    answer
}

fn address(name: &[u8]) -> Record {
    Record {
        name: name.to_vec(),
        rtype: rtype::A,
        class: 1,
        ttl_secs: FORGED_TTL_SECS,
        rdata: FORGED.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    fn sent(manners: Manners, query: &[u8], answer: &[u8], udp: bool) -> Vec<Message> {
        match manners.play(query, Some(answer.to_vec()), udp) {
            Turn::Send(messages, _) => messages
                .iter()
                .filter_map(|(message, _)| Message::parse(message).ok())
                .collect(),
            Turn::Silence => Vec::new(),
        }
    }

    fn right_answer(asked: &[u8]) -> Vec<u8> {
        let mut message = Message::parse(asked).unwrap();
        message.flags = 0x8500;
        message.answer = vec![Record {
            rdata: vec![192, 0, 2, 1],
            ..address(&encode_name("www.zone.plain"))
        }];
        message.build()
    }

    #[test]
    fn bad_manners_show() {
        let asked = query("www.zone.plain", rtype::A).edns(1232, true).build();
        let answer = right_answer(&asked);
        assert_eq!(
            sent(Manners::Good, &asked, &answer, true)[0].answer.len(),
            1
        );
        assert_eq!(
            sent(Manners::Lame, &asked, &answer, true)[0].rcode(),
            rcode::REFUSED
        );
        assert!(sent(Manners::Truncates, &asked, &answer, true)[0].truncated());
        assert!(!sent(Manners::Truncates, &asked, &answer, false)[0].truncated());
        assert!(sent(Manners::Silent, &asked, &answer, true).is_empty());
        assert!(sent(Manners::DropsEdns, &asked, &answer, true).is_empty());
        assert_eq!(
            sent(Manners::NoEdns, &asked, &answer, true)[0].rcode(),
            rcode::FORMERR
        );
    }

    fn only_the_last_can_be_believed(manners: Manners) -> Message {
        let asked = query("www.zone.plain", rtype::A).edns(1232, true).build();
        let answer = right_answer(&asked);
        let Turn::Send(messages, 0) = manners.play(&asked, Some(answer), true) else {
            panic!("no answer");
        };
        let asked = Message::parse(&asked).unwrap();
        let believable = |(message, from): &(Vec<u8>, From)| {
            *from == From::Here
                && Message::parse(message).is_ok_and(|message| {
                    message.id == asked.id && message.questions == asked.questions
                })
        };
        let (last, others) = messages.split_last().unwrap();
        assert!(believable(last));
        assert!(!others.iter().any(believable));
        Message::parse(&last.0).unwrap()
    }

    #[test]
    fn forged_answers_have_another_id_port_or_question() {
        let last = only_the_last_can_be_believed(Manners::Spoofed);
        assert_eq!(last.answer[0].rdata, [192, 0, 2, 1]);
        assert_eq!(last.answer.len(), 3);
        let last = only_the_last_can_be_believed(Manners::WrongQuestions);
        assert_eq!(last.answer.len(), 1);
    }
}
