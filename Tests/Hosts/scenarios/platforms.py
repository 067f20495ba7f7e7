"""SEV guests that must not go to a platform: by their policy, by the agreement, by the platform's certificates."""

import variables
from refusing import meddled, refused
from scenario import Scenario, named

NOSEND, DOMAIN, SEV = 0x8, 0x10, 0x20
# The model's firmware; a policy has the oldest API that it allows in bits 16 to 31.
API = "1.55"
NEWER, OLDER = "1.56", "1.54"


def needs(api):
    major, minor = map(int, api.split("."))
    return major << 16 | minor << 24


# Policy and agreement


def no_registers(pair, _):
    """a SEV-ES guest is not sent by a kernel that cannot send its registers: encryptedStateNotSendable"""
    pair.prepare(model=["--es-asids", "100"])
    return refused(pair, "encryptedStateNotSendable", words=["SEND_UPDATE_VMSA"], options=("--sev-es",))


def deaf_target(pair, _):
    """a SEV-ES guest is not sent to a kernel that cannot receive its registers: encryptedStateNotSendable"""
    pair.prepare(model=["--es-asids", "100"], north=["--firmware-vmsa"])
    return refused(pair, "encryptedStateNotSendable", words=["ES", "RECEIVE_UPDATE_VMSA"], options=("--sev-es",))


def policy(name, bits, words, text, *, source=(), target=()):
    """A policy that one of the two models, started with these options, does not fit."""
    def body(pair, _):
        pair.prepare(north=source, south=target)
        return refused(pair, "policyForbids", source=["--sev-policy", f"{bits:x}"], words=words)
    return Scenario(f"policy_{name}", f"a guest whose policy {text} is refused as policyForbids", body)


def party(name, options, text, word=None):
    def body(pair, _):
        pair.prepare()
        return refused(pair, "agreementMissing", source=options, words=[f"The {word or name} is missing"])
    return Scenario(f"agreement_{name}", f"without the {text} a migration is refused as agreementMissing", body)


def firmware(name, value, text):
    def body(pair, run):
        path = f"{pair.folder}/{name}.fd"
        with open(path, "wb") as file:
            file.write(variables.store(value))
        return party(name, ("--uefi-variables", path), "", "firmware").body(pair, run)
    return Scenario(f"agreement_{name}", f"a firmware whose variable {text} is refused as agreementMissing", body)


def firmware_agrees(pair, _):
    """with all parties of the agreement, and a policy (SEV, NODBG, NOKS, API) that suits both hosts, it goes over"""
    pair.prepare()
    path = f"{pair.folder}/agrees.fd"
    with open(path, "wb") as file:
        file.write(variables.store(1))
    plan = pair.plan()
    policy_bits = f"{SEV | 0x3 | needs(API):x}"
    pair.move(pair.start(pair.north, plan, "--uefi-variables", path, "--sev-policy", policy_bits), plan)


# The target's platform


def in_chain(certificate):
    return f"The target's {certificate} certificate is refused: "


def unfit(signer):
    return f"the signature of the {signer} does not fit"


# Who signed each certificate, as far as its first slot goes.
SIGNERS = {"ARK": "ARK", "ASK": "ARK", "CEK": "ASK", "OCA": "OCA", "PEK": "OCA", "PDH": "PEK"}
# How the chain of certificates is damaged, which certificate is named, and why.
CHAINS = {
    **{f"flip_{name.lower()}": (("flip", name), name, unfit(signer), f"with one bit of its {name} flipped")
       for name, signer in SIGNERS.items()},
    **{f"order_{one.lower()}_{other.lower()}": (
        ("swap", one, other), one, f"the {other} is in its place, so the chain is in the wrong order",
        f"with {one} and {other} in each other's place")
       for one, other in (("PEK", "OCA"), ("OCA", "CEK"), ("ASK", "ARK"))},
    "unsigned_cek": (("unsign", "CEK"), "CEK", "it carries no signature of the ASK", "with a CEK that nobody signed"),
    "without_amd": (("remove", "ASK", "ARK"), "ASK", "0 bytes are there instead of", "without ASK and ARK"),
}


def bad_chain(name):
    how, certificate, reason, what = CHAINS[name]

    def body(pair, _):
        pair.prepare()
        return meddled(pair, ("chain", *how), "certificateInvalid", words=[in_chain(certificate), reason])
    return Scenario(f"chain_{name}", f"a target {what} is refused as certificateInvalid", body)


def not_genuine(pair, _):
    """a guest whose policy has SEV is not sent to a platform that does not prove to be AMD's: certificateInvalid"""
    pair.prepare()
    return meddled(pair, ("chain", "flip", "CEK"), "certificateInvalid", source=["--sev-policy", f"{SEV:x}"], words=[
        "The guest's policy has SEV, and the target does not prove that it is a genuine AMD machine",
        in_chain("CEK"), unfit("ASK")])


def old_keys(pair, _):
    """a target whose keys are of firmware older than the guest's policy allows is refused as certificateInvalid"""
    pair.prepare(south=["--platform-api", OLDER])
    return refused(pair, "certificateInvalid", source=["--sev-policy", f"{needs(API):x}"], words=[
        in_chain("PEK"), f"it was made by firmware API {OLDER}, and the guest's policy needs {API} or newer"])


def old_claim(pair, _):
    """the source itself compares the API version that a target shows with the guest's policy: policyForbids"""
    pair.prepare()
    return meddled(pair, ("chain", "claim", OLDER), "policyForbids", source=["--sev-policy", f"{needs(API):x}"], words=[
        f"The guest's policy needs firmware API {API}, and the target has {OLDER}"])


def unknown_root(pair, _):
    """a target whose platform is vouched for by a root that is not trusted is refused as certificateInvalid"""
    pair.prepare()
    return refused(pair, "certificateInvalid", source=["--no-trust-model-root"],
                   words=[in_chain("ARK"), "it is the root of the software model"])


def scenarios():
    return [
        named(unknown_root), *(bad_chain(name) for name in CHAINS), named(not_genuine), named(old_keys),
        named(old_claim), named(no_registers), named(deaf_target),
        policy("nosend", NOSEND, ["NOSEND"], "says that it must not be sent"),
        policy("domain", DOMAIN, ["DOMAIN", "OCA"], "keeps it in its domain"),
        policy("reserved", 0x40, ["reserved bits", "0x40"], "has a bit that no firmware knows"),
        policy("source_api", needs(NEWER), [f"needs firmware API {NEWER}, and the source has {API}"],
               "needs a newer firmware than its own host's", target=["--firmware-api", NEWER]),
        policy("target_api", needs(API), [f"needs firmware API {API}, and the target has {OLDER}"],
               "needs a newer firmware than the target's", target=["--firmware-api", OLDER]),
        party("host", ("--no-migration-feature",), "host's feature bits"),
        party("guest", ("--guest-not-ready",), "guest's word"),
        firmware("variable_missing", None, "is missing"), firmware("variable_false", 0, "is false"),
        named(firmware_agrees),
    ]
