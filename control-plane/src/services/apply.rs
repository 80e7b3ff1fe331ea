//! Many objects at once, and who has them.

use crate::admin::Admin;
use crate::listing::ListQuery;
use crate::operator::Caller;
use proto::admin::v1;
use proto::admin::v1::apply_service_server::ApplyService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl ApplyService for Admin {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call =
            self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
        Ok(Response::new(Self::apply(self, call, request.objects).await?))
    }

    async fn delete_objects(
        &self,
        request: Request<v1::DeleteObjectsRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call =
            self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
        let answer = Self::delete_objects(self, call, request.objects, request.allow_missing);
        Ok(Response::new(answer.await?))
    }

    async fn list_data_planes(
        &self,
        request: Request<v1::ListDataPlanesRequest>,
    ) -> Result<Response<v1::ListDataPlanesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let v1::ListDataPlanesRequest { page_size, page_token, filter } = request.into_inner();
        let query = ListQuery { page_size, page_token, filter, ..ListQuery::default() };
        Ok(Response::new(self.data_planes(&caller, &query).await?))
    }
}
