import SEVABI
import SEVModel
import Testing

/// Random sequences of calls, answered by the model and by the naive reference.
@Suite("The model against a naive reference")
struct NaiveTests {
  /// A kernel and how many ASIDs of each kind it has.
  struct Kind: CustomTestStringConvertible, Sendable {
    let profile: NaiveKernel.Profile
    let asids: UInt32
    let encryptedStateASIDs: UInt32

    var testDescription: String {
      "\(profile.rawValue), \(asids) ASIDs and \(encryptedStateASIDs) for encrypted state"
    }

    var configuration: ModelConfiguration {
      let profile: KernelProfile =
        switch profile {
        case .rfc: .rfc
        case .mainline516: .mainline516
        case .mainline611: .mainline611
        case .v10: .v10SharedPages
        }
      return ModelConfiguration(
        profile: profile, asidCount: asids, encryptedStateASIDCount: encryptedStateASIDs)
    }
  }

  static let kinds = [
    Kind(profile: .rfc, asids: 4, encryptedStateASIDs: 3),
    Kind(profile: .rfc, asids: 500, encryptedStateASIDs: 0),
    Kind(profile: .mainline516, asids: 4, encryptedStateASIDs: 3),
    Kind(profile: .mainline611, asids: 4, encryptedStateASIDs: 3),
    Kind(profile: .v10, asids: 3, encryptedStateASIDs: 2),
  ]

  static let sequencesPerKind: UInt64 = 100
  static let callsPerSequence = 200

  @Test(
    "gives the same errno, firmware status and answers in 20,000 random calls, and gets everywhere",
    arguments: kinds)
  func sameAnswers(kind: Kind) {
    var succeeded: Set<UInt32> = []
    var refused: Set<UInt32> = []
    var devicesSucceeded: Set<UInt32> = []
    var devicesRefused: Set<UInt32> = []
    var lists = 0
    for seed in 1...Self.sequencesPerKind {
      var history: [String] = []
      var difference: String?
      Self.play(kind, seed: seed, calls: Self.callsPerSequence) { request, expected, complaint in
        history.append("\(history.count): \(request) -> \(expected)")
        difference = complaint
        switch request.call {
        case .command(let command):
          if expected.error == nil { succeeded.insert(command.id) } else { refused.insert(command.id) }
        case .device(let command):
          if expected.error == nil {
            devicesSucceeded.insert(command.id)
          } else {
            devicesRefused.insert(command.id)
          }
        case .getSharedPages where expected.fields.count > 3: lists += 1
        default: break
        }
        return complaint == nil
      }
      if let difference {
        let course = history.suffix(40).joined(separator: "\n")
        Issue.record("\(kind.testDescription), seed \(seed): \(difference)\n\(course)")
        return
      }
    }
    #expect(succeeded == Self.commands(of: kind))
    #expect(refused.isSuperset(of: 0..<26))
    #expect(devicesSucceeded == Set(0..<9))
    #expect(devicesRefused == Set(0..<10))
    #expect((lists > 0) == (kind.profile == .v10), "lists of more than one range")
  }

  private static func commands(of kind: Kind) -> Set<UInt32> {
    var commands: Set<UInt32> = [0, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 20]
    if kind.encryptedStateASIDs > 0 { commands.formUnion([1, 4]) }
    if kind.profile != .v10 { commands.insert(21) }
    if kind.profile == .rfc { commands.formUnion([22, 23]) }
    if kind.profile == .mainline611 { commands.insert(22) }
    return commands
  }

  /// Plays one sequence.
  ///
  /// - Parameter body: Gets each call, the reference's answer and what is wrong with the model's; plays on
  ///   while it says true.
  private static func play(
    _ kind: Kind, seed: UInt64, calls: Int, _ body: (NaiveRequest, NaiveAnswer, String?) -> Bool
  ) {
    let configuration = kind.configuration
    var kernel = NaiveKernel(
      profile: kind.profile, asids: Int(kind.asids), encryptedStateASIDs: Int(kind.encryptedStateASIDs),
      major: UInt32(configuration.firmwareVersion.major), minor: UInt32(configuration.firmwareVersion.minor))
    var driver = NaiveDriver(configuration, seed: seed)
    var generator = NaiveGenerator(seed: seed)
    for _ in 0..<calls {
      let request = generator.request(kernel)
      let edition = kernel.firmware.identity.edition
      var given = driver.run(request)
      let expected = kernel.answer(request, token: driver.token)
      // The fields mean something only where the reference says so.
      if expected.fields.isEmpty { given.fields = [] }
      if let product = kernel.product, case .command(let command) = request.call {
        driver.file(product, of: command.arguments)
      }
      if kernel.firmware.identity.edition > edition { driver.fileEdition() }
      var complaint: String?
      if given != expected {
        complaint = "the model says \(given), the reference \(expected)"
      } else if driver.host.guestCount != kernel.firmware.guests.count {
        complaint =
          "the model has \(driver.host.guestCount) guests, the reference \(kernel.firmware.guests.count)"
      } else if driver.host.freeASIDCount != kernel.freePlainASIDCount {
        complaint =
          "the model has \(driver.host.freeASIDCount) free ASIDs, the reference \(kernel.freePlainASIDCount)"
      }
      guard body(request, expected, complaint) else { return }
    }
  }
}
