import FuzzSupport
import SEVABI

@testable import SEVCertificates
@testable import SEVModel

/// Bytes as certificates, and as changes to a platform's good ones. Whoever is believed has signed exactly what
/// was signed: no chain is accepted in which a signed byte differs.
@c(LLVMFuzzerTestOneInput)
public func fuzzCertificates(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, count))
  switch source.below(5) {
  case 0: parse(source.rest())
  case 1: parse(Platform.shared.changed(&source).all)
  case 2: Platform.shared.verifyGenuine(&source)
  case 3: Platform.shared.verifyTarget(&source)
  default: Platform.shared.verifyOwner(&source)
  }
  return 0
}

/// Whatever can be read of any bytes.
private func parse(_ bytes: [UInt8]) {
  if let amd = AMDCertificate(prefixOf: bytes[...]) {
    precondition(AMDCertificate(amd.bytes) == amd, "a certificate of AMD's format changed")
    _ = (amd.keyID, amd.certifyingKeyID, amd.usage)
  }
  var rest = bytes[...]
  while !rest.isEmpty {
    if let certificate = SEVCertificate(Array(rest.prefix(SEVCertificate.byteCount))) {
      let usages = SEVCertificate.Slot.allCases.map { certificate.signer(in: $0) }
      let algorithms = SEVCertificate.Slot.allCases.map { certificate.signatureAlgorithm(in: $0) }
      _ = (certificate.usage, certificate.algorithm, certificate.version, usages, algorithms)
      _ = certificate.keyAgreementKey
      let bare = certificate.withoutSignatures
      precondition(bare.body == certificate.body, "a signing request has another body")
    }
    rest = rest.dropFirst(SEVCertificate.byteCount)
  }
  let pdh = Array(bytes.prefix(SEVCertificate.byteCount))
  let chain = Array(bytes.dropFirst(pdh.count).prefix(CertificateChain.byteCount))
  _ = try? CertificateChain(pdh: pdh, chain: chain)
}

/// A platform with good certificates. Keys cost, so there is one.
private struct Platform {
  static let shared = Platform()

  let good: PlatformCertificates

  init() {
    var host = ModelHost()
    guard let certificates = try? host.platformCertificates() else {
      preconditionFailure("the platform has no certificates")
    }
    good = certificates
    let chain = try? CertificateChain(pdh: good.pdh, chain: good.chain)
    precondition((try? chain?.verifyGenuine(amd: good.amd)) != nil, "the platform's own chain is refused")
  }

  /// All certificates with up to four bytes changed.
  func changed(_ source: inout ByteSource) -> PlatformCertificates {
    var all = good.all
    for _ in 0..<source.below(5) {
      let position = (source.below(256) | source.below(256) << 8) % all.count
      all[position] ^= source.byte()
    }
    var rest = all[...]
    func next(_ count: Int) -> [UInt8] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    return PlatformCertificates(
      pdh: next(good.pdh.count), pek: next(good.pek.count), oca: next(good.oca.count),
      cek: next(good.cek.count), ask: next(good.ask.count), ark: next(good.ark.count))
  }

  func verifyGenuine(_ source: inout ByteSource) {
    let changed = changed(&source)
    guard let chain = try? CertificateChain(pdh: changed.pdh, chain: changed.chain),
      (try? chain.verifyGenuine(amd: changed.amd)) != nil
    else { return }
    for (new, old) in [(changed.pdh, good.pdh), (changed.pek, good.pek), (changed.cek, good.cek)] {
      precondition(new.prefix(1044) == old.prefix(1044), "a certificate was believed that nobody signed")
    }
    precondition(changed.ask.prefix(576) == good.ask.prefix(576), "an ASK was believed that nobody signed")
    precondition(changed.ark == good.ark, "an unknown root was believed")
  }

  /// What a migration checks before the first page, which is all of it.
  func verifyTarget(_ source: inout ByteSource) {
    let changed = changed(&source)
    let shown = TargetCertificates(pdh: changed.pdh, platform: changed.chain, amd: changed.amd)
    guard (try? shown.verify(roots: .amdAndModel)) != nil else { return }
    precondition((try? shown.verify()) == nil, "the model's root was believed where it was not allowed")
    for (new, old) in [
      (changed.pdh, good.pdh), (changed.pek, good.pek), (changed.oca, good.oca), (changed.cek, good.cek),
    ] {
      precondition(new.prefix(1044) == old.prefix(1044), "a certificate was believed that nobody signed")
    }
    precondition(changed.ask.prefix(576) == good.ask.prefix(576), "an ASK was believed that nobody signed")
    precondition(changed.ark == good.ark, "an unknown root was believed")
    precondition(
      (try? CertificateChain(pdh: changed.pdh, chain: changed.chain).verifyGenuine(amd: changed.amd))
        != nil, "the firmware refuses what was believed")
  }

  func verifyOwner(_ source: inout ByteSource) {
    let changed = changed(&source)
    guard let chain = try? CertificateChain(pdh: changed.pdh, chain: changed.chain),
      let own = SEVCertificate(good.oca), (try? chain.verifyOwner(own: own)) != nil
    else { return }
    precondition(changed.oca == good.oca, "another owner was believed")
    for (new, old) in [(changed.pdh, good.pdh), (changed.pek, good.pek)] {
      precondition(new.prefix(1044) == old.prefix(1044), "a certificate was believed that nobody signed")
    }
  }
}
