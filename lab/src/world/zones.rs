use super::zone::{Algorithm, Denial, Zone};

/// The zones of the usual world.
pub fn zones() -> Vec<Zone> {
    vec![
        Zone::new(".", "").signed(Algorithm::EcdsaP256, Denial::Nsec),
        Zone::new("alpha.", "").signed(Algorithm::EcdsaP256, Denial::Nsec),
        Zone::new("good.alpha.", GOOD).signed(Algorithm::EcdsaP256, Denial::Nsec),
    ]
}

const GOOD: &str = r"
@ A 192.0.2.1
@ MX 10 mail
mail A 192.0.2.25
www A 192.0.2.80
www AAAA 2001:db8::80
";
