import Testing

@testable import RemoteService

@Suite("Places for local connections")
struct LocalSeatsTests {
  @Test("are counted by user, so that none shuts the others out, and are free again with the connection")
  func byUser() throws {
    let seats = LocalSeats(limit: 5, limitPerUser: 3)
    var first = try (0..<3).map { _ in try seats.take(1) }
    #expect(throws: RemoteFault.tooManyConnectionsOfUser(uid: 1, limit: 3)) { _ = try seats.take(1) }
    let second = try (0..<2).map { _ in try seats.take(2) }
    #expect(throws: RemoteFault.tooManyConnections(limit: 5)) { _ = try seats.take(3) }
    first.removeLast()
    var third: LocalSeats.Seat? = try seats.take(3)
    #expect(throws: RemoteFault.tooManyConnections(limit: 5)) { _ = try seats.take(1) }
    withExtendedLifetime(third) {}
    third = nil
    first.append(try seats.take(1))
    withExtendedLifetime((first, second)) {}
  }
}
