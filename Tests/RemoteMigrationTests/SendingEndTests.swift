import BatonWire
import MigrationCore
import SEVABI
import SEVDevice
import Testing

@testable import RemoteMigration

@Suite("A SEND_FINISH that failed")
struct SendingEndTests {
  private static let failure = MigrationFailure(.sourceDeclined, "the device does not give the guest up")
  private static let finish = SEVError.Attempt.command(.sendFinish)
  /// The connection to the device died after the command went out.
  private static let lost = SEVError(finish, code: 104, isOutcomeUnknown: true)
  /// The kernel stopped waiting for the firmware.
  private static let late = SEVError(finish, code: 110)
  /// The kernel could not write back what came of it.
  private static let unwritten = SEVError(finish, code: 14)
  private static let unsafe = SEVError(
    finish, code: 5, firmwareStatus: FirmwareStatus.hardwareErrorUnsafe.rawValue)
  private static let refused = SEVError(
    finish, code: 5, firmwareStatus: FirmwareStatus.invalidGuestState.rawValue)
  /// The command did not go out.
  private static let unsent = SEVError(finish, code: 32)

  @Test(
    "has given the guest up if the firmware says so, whatever the error was",
    arguments: [lost, late, unwritten, unsafe, refused, unsent])
  func sent(_ error: SEVError) throws {
    #expect(try SendingEnd(after: error, state: .sent, Self.failure) == .finished)
  }

  @Test(
    "has not given the guest up if the firmware says so, whatever the error was",
    arguments: [lost, late, unwritten, unsafe, refused, unsent])
  func notSent(_ error: SEVError) {
    for state in [GuestState.sending, .running] {
      #expect(throws: Self.failure) { try SendingEnd(after: error, state: state, Self.failure) }
    }
  }

  @Test(
    "is of unknown outcome if it may have been done and nobody says, so that the guest does not run on",
    arguments: [lost, late, unwritten, unsafe])
  func unknown(_ error: SEVError) throws {
    #expect(try SendingEnd(after: error, state: nil, Self.failure) == .unknown(Self.failure))
    // The firmware has forgotten it: it was begun anew, or is another one.
    #expect(try SendingEnd(after: error, state: .uninitialized, Self.failure) == .unknown(Self.failure))
  }

  @Test("was not done if it was refused or never went out", arguments: [refused, unsent])
  func certain(_ error: SEVError) {
    #expect(throws: Self.failure) { try SendingEnd(after: error, state: nil, Self.failure) }
  }

  @Test("and may have been done lets the target have the guest, and cancels nothing")
  func givenUp() throws {
    let device = FakeSourceDevice()
    device.trouble = .finishUnknown
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    let outcome = try rehearsal.run()
    guard case .unknown = outcome.end else {
      Issue.record("the doubt was lost: \(String(describing: outcome.end))")
      return
    }
    #expect(outcome.receipt != nil && outcome.first != nil)
    #expect(device.calls.contains("finish") && !device.calls.contains("cancel"))
  }
}
