import LinuxOS
import RemoteMigration
import SEVCertificates
import Testing

@testable import ReferenceVMM

@Suite("The files of AMD's server")
struct VendorCertificateTests {
  /// What is said about a file with these bytes.
  private func complaint(cek: [UInt8]? = nil, chain: [UInt8]? = nil) throws -> String {
    var options = VMMOptions(guest: "vm1", configuration: MachineConfiguration(ramBytes: 1, vcpuCount: 1))
    // The memfd is the file, by the path that the process itself has for it.
    let bytes = cek ?? chain ?? []
    let file = try Memfd.create(name: "certificate", byteCount: UInt64(bytes.count))
    let path = "/proc/self/fd/\(file.number)"
    try Files.open(path, .readWrite).write(bytes, at: 0)
    if cek != nil { options.signedCEK = path } else { options.amdChain = path }
    do throws(MachineError) {
      _ = try VendorCertificates(options)
      return "nothing"
    } catch {
      return "\(error)"
    }
  }

  private static func certificate(_ usage: SEVCertificate.Usage) -> SEVCertificate {
    SEVCertificate(
      usage: usage, algorithm: .ecdsaSHA256, point: [4] + [UInt8](repeating: 1, count: 96), version: .zero)
  }

  @Test("are read only where options name them")
  func none() throws {
    let options = VMMOptions(guest: "vm1", configuration: MachineConfiguration(ramBytes: 1, vcpuCount: 1))
    #expect(try VendorCertificates(options) == VendorCertificates())
    let shown = TargetCertificates(pdh: [1], platform: [2], amd: [3])
    #expect(try VendorCertificates().completing(shown) == shown)
  }

  @Test("are refused at start with the option, the file and the reason")
  func refused() throws {
    #expect(try complaint(cek: [1, 2, 3]).contains("--signed-cek: /proc/self/fd/"))
    #expect(try complaint(cek: [1, 2, 3]).contains("has 3 bytes, a CEK has 2084"))
    #expect(try complaint(cek: [UInt8](repeating: 0, count: 2084)).hasSuffix("is no CEK"))
    #expect(try complaint(cek: Self.certificate(.owner).bytes).hasSuffix("is no CEK"))
    #expect(
      try complaint(cek: Self.certificate(.chipEndorsement).bytes).hasSuffix(
        "is a CEK without AMD's signature, as the firmware exports it"))
    for chain in [[1], [UInt8](repeating: 0, count: 1664)] {
      #expect(
        try complaint(chain: chain).contains("is not two certificates of AMD's format"), "\(chain.count)")
    }
    var options = VMMOptions(guest: "vm1", configuration: MachineConfiguration(ramBytes: 1, vcpuCount: 1))
    options.amdChain = "/nonexistent/ask_ark.cert"
    let failure = #expect(throws: MachineError.self) { try VendorCertificates(options) }
    #expect(failure.map { "\($0)".contains("--amd-chain: /nonexistent/ask_ark.cert cannot be read") } == true)
  }

  @Test("that do not fit what the platform shows are refused, with the certificate's name")
  func foreign() {
    let exported = Self.certificate(.chipEndorsement).bytes
    let shown = TargetCertificates(
      pdh: Self.certificate(.diffieHellman).bytes,
      platform: Self.certificate(.platformEndorsement).bytes + Self.certificate(.owner).bytes + exported,
      amd: [])
    var other = exported
    other[30] ^= 1
    #expect(throws: CertificateError(.cek, .foreignKey)) {
      try VendorCertificates(signedCEK: other).completing(shown)
    }
    // One of the two alone does not make a chain.
    #expect(throws: CertificateError.self) { try VendorCertificates(signedCEK: exported).completing(shown) }
  }
}
