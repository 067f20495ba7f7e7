public import SEVCertificates

/// What only AMD's server has of a host's processor: its certificate as AMD signed it, and AMD's own.
public struct VendorCertificates: Hashable, Sendable {
  /// The CEK with AMD's signature, 2084 bytes.
  public var signedCEK: [UInt8]?
  /// ASK, then ARK, 1664 or 3200 bytes.
  public var chain: [UInt8]?

  public init(signedCEK: [UInt8]? = nil, chain: [UInt8]? = nil) {
    self.signedCEK = signedCEK
    self.chain = chain
  }

  /// Puts them into what a platform shows, and verifies all of it if there was something to put.
  ///
  /// - Throws: When the CEK is not this processor's, or the chain does not lead from the platform to AMD.
  /// - Complexity: Some milliseconds, for the signatures.
  public func completing(_ shown: TargetCertificates) throws(CertificateError) -> TargetCertificates {
    guard signedCEK != nil || chain != nil else { return shown }
    var shown = shown
    if let chain { shown.amd = chain }
    if let signedCEK { try shown.take(signedCEK: signedCEK) }
    // Whether the model's root is trusted is the source's to say.
    _ = try shown.verify(roots: .amdAndModel)
    return shown
  }
}
