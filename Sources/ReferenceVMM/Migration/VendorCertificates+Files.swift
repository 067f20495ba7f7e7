import LinuxOS
import RemoteMigration
import SEVCertificates

/// The files that AMD's server delivers.
extension VendorCertificates {
  /// Reads what the options name.
  ///
  /// - Throws: ``MachineError/unusableConfiguration(_:)`` with the option, the file and what is wrong with it.
  init(_ options: VMMOptions) throws(MachineError) {
    self.init()
    if let path = options.signedCEK { signedCEK = try Self.cek(path) }
    if let path = options.amdChain { chain = try Self.chain(path) }
  }

  private static func cek(_ path: String) throws(MachineError) -> [UInt8] {
    let bytes = try read("--signed-cek", path)
    let size = SEVCertificate.byteCount
    guard bytes.count == size else {
      throw wrong("--signed-cek", path, "has \(bytes.count) bytes, a CEK has \(size)")
    }
    guard let certificate = SEVCertificate(bytes), certificate.usage == .chipEndorsement else {
      throw wrong("--signed-cek", path, "is no CEK")
    }
    guard certificate != certificate.withoutSignatures else {
      throw wrong("--signed-cek", path, "is a CEK without AMD's signature, as the firmware exports it")
    }
    return bytes
  }

  private static func chain(_ path: String) throws(MachineError) -> [UInt8] {
    let bytes = try read("--amd-chain", path)
    guard let first = AMDCertificate(prefixOf: bytes[...]),
      let second = AMDCertificate(prefixOf: bytes.dropFirst(first.bytes.count))
    else { throw wrong("--amd-chain", path, "is not two certificates of AMD's format, ASK and ARK") }
    guard first.bytes.count + second.bytes.count == bytes.count else {
      throw wrong("--amd-chain", path, "has more in it than ASK and ARK")
    }
    guard first.usage == .amdSigning, second.usage == .amdRoot else {
      throw wrong("--amd-chain", path, "is not the ASK and then the ARK")
    }
    return bytes
  }

  private static func read(_ option: String, _ path: String) throws(MachineError) -> [UInt8] {
    do throws(SystemError) {
      return try Files.open(path, .readOnly).read(maximum: 16_384)
    } catch {
      throw wrong(option, path, "cannot be read: \(error)")
    }
  }

  private static func wrong(_ option: String, _ path: String, _ what: String) -> MachineError {
    .unusableConfiguration("\(option): \(path) \(what)")
  }
}
